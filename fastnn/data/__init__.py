"""Data sets and loaders."""

from .digits import digits as digits
from .idx import read_idx as read_idx
from .loader import DataLoader as DataLoader
from .loader import split as split
from .mnist import mnist as mnist
