"""Data sets, loaders, augmentation of images, and what sequences need: vocabularies, streams of text and windows of series."""

from .augment import Compose as Compose
from .augment import Normalize as Normalize
from .augment import RandomCrop as RandomCrop
from .augment import RandomHorizontalFlip as RandomHorizontalFlip
from .cifar import CIFAR10_CLASSES as CIFAR10_CLASSES
from .cifar import cifar10 as cifar10
from .cifar import read_cifar10 as read_cifar10
from .digits import digits as digits
from .idx import read_idx as read_idx
from .loader import DataLoader as DataLoader
from .loader import split as split
from .mnist import FASHION_MNIST_CLASSES as FASHION_MNIST_CLASSES
from .mnist import fashion_mnist as fashion_mnist
from .mnist import mnist as mnist
from .streams import StreamBatches as StreamBatches
from .text import CharVocabulary as CharVocabulary
from .text import WordVocabulary as WordVocabulary
from .windows import SlidingWindows as SlidingWindows
from .windows import train_test_split_in_time as train_test_split_in_time
