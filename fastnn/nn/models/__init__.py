"""Networks for images, (N, channels, height, width) → (N, num_classes), and for text, each built from the layers in a page of code."""

from fastnn.nn.models.language import LanguageModel as LanguageModel
from fastnn.nn.models.lenet import lenet5 as lenet5
from fastnn.nn.models.mobilenet import depthwise_separable as depthwise_separable
from fastnn.nn.models.mobilenet import mobilenet as mobilenet
from fastnn.nn.models.resnet import BasicBlock as BasicBlock
from fastnn.nn.models.resnet import resnet18 as resnet18
from fastnn.nn.models.resnet import resnet20 as resnet20
from fastnn.nn.models.small_cnn import small_cnn as small_cnn
from fastnn.nn.models.vgg import vgg as vgg
