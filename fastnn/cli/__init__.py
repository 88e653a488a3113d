"""The `fastnn` command. Each of its commands is a module that is imported when it runs, so that --help answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence


class CommandError(Exception):
    """What the user should know in one sentence; ends the command with exit code 1."""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="fastnn", description="Neural networks on CPUs, on plain NumPy arrays.")
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    train = commands.add_parser("train", help="train a classifier or a language model",
                                description="Train a classifier of images, test it, and measure the same network in plain NumPy where there is one; or train a "
                                            "language model of the characters of a text, and see what it writes.")
    data = train.add_argument_group("data")
    data.add_argument("--data", choices=("digits", "mnist", "fashion-mnist", "cifar10", "text"), default="digits",
                      help="the data set (default: digits, which come with the package)")
    data.add_argument("--file", metavar="FILE", help="the text of --data text, in UTF-8; its last tenth is held out for validation")
    data.add_argument("--data-dir", metavar="DIR", help="the folder of the other data sets' files, as they are distributed")
    data.add_argument("--download", action="store_true", help="fetch missing files into --data-dir first (11, 31 or 170 MB)")
    data.add_argument("--augment", action=argparse.BooleanOptionalAction, default=None,
                      help="shift images by a few pixels, and mirror clothes and photographs (default: for cifar10)")
    network = train.add_argument_group("network")
    network.add_argument("--model", choices=("mlp", "lenet5", "small_cnn", "vgg", "resnet20", "mobilenet", "lstm", "gru", "rnn"),
                         help="the network (default: mlp, a chain of linear layers; of text lstm)")
    network.add_argument("--hidden", type=_sizes, metavar="N,N,…", help="sizes of the mlp's hidden layers (default: 256 for digits, else 128), or the size of the recurrent ones (default: 256)")
    network.add_argument("--layers", type=_count, metavar="N", help="how many recurrent layers (default: 2)")
    network.add_argument("--embedding", type=_count, metavar="N", help="numbers that a character becomes before them (default: 64)")
    network.add_argument("--activation", metavar="NAME", help="the activation between layers, of mlp and lenet5 (default: relu)")
    network.add_argument("--dropout", type=_fraction, metavar="P",
                         help="share of hidden units to drop while training, of mlp, vgg and recurrent networks (default: 0; vgg: 0.5; text: 0.1)")
    training = train.add_argument_group("training")
    training.add_argument("--epochs", type=_count, metavar="N", help="passes over the data (default: one that suits data and model)")
    training.add_argument("--batch-size", type=_count, metavar="N", help="samples in a step (default: 32 for digits, else 64)")
    training.add_argument("--steps", type=_count, metavar="N", help="characters that back-propagation goes back, for text (default: 64)")
    training.add_argument("--optimizer", choices=("adam", "adamw", "sgd", "rmsprop", "adagrad"), default="adam", help="(default: adam)")
    training.add_argument("--lr", type=_positive, metavar="RATE", help="the highest learning rate (default: one that suits model and optimizer)")
    training.add_argument("--schedule", choices=("onecycle", "constant"), default="onecycle",
                          help="how the learning rate changes: up and down once, or not at all (default: onecycle)")
    training.add_argument("--seed", type=_seed, default=0, metavar="N", help="makes the run reproducible, bit for bit (default: 0)")
    training.add_argument("--threads", type=_count, metavar="N", help="threads to use (default: all processors)")
    output = train.add_argument_group("output")
    output.add_argument("--output", default="model.safetensors", metavar="FILE", help="where the model goes (default: model.safetensors)")
    output.add_argument("--plot", nargs="?", const="learning-curves.png", metavar="PNG",
                        help="draw the learning curves (default: learning-curves.png)")
    output.add_argument("--plot-filters", nargs="?", const="filters.png", metavar="PNG",
                        help="draw the filters of the first layer (default: filters.png)")
    output.add_argument("--confusion", nargs="?", const="confusion.png", metavar="PNG",
                        help="draw which classes of the test data are taken for which (default: confusion.png)")
    output.add_argument("--json", action="store_true", help="print nothing but the results, as JSON")

    predict = commands.add_parser("predict", help="classify samples with a trained model",
                                  description="Print the class and its probability for each sample of a file.")
    predict.add_argument("model", metavar="MODEL", help="a file that `fastnn train` has written")
    predict.add_argument("file", metavar="FILE", help="samples, one a row: .npy, .npz, .csv, a .bin of CIFAR-10, or an IDX file, gzipped or not")
    predict.add_argument("--labels", metavar="FILE", help="the right classes, a file as that of the samples (.npz: its array y); says how many are right")
    predict.add_argument("--output", metavar="CSV", help="write rows of row, class, probability to this file instead of printing them")
    predict.add_argument("--plot", metavar="PNG", help="draw the images that the model was least sure of")
    predict.add_argument("--confusion", metavar="PNG", help="draw which classes are taken for which; needs --labels")
    predict.add_argument("--divide-by", type=_positive, metavar="D",
                         help="divide the samples by this (default: whole numbers as those of the training data, other numbers by 1)")

    generate = commands.add_parser("generate", help="write text with a trained language model",
                                   description="Continue a prompt with a model of `fastnn train --data text`, character by character.")
    generate.add_argument("model", metavar="MODEL", help="a file that `fastnn train --data text` has written")
    generate.add_argument("--prompt", default="", metavar="TEXT", help="what the text begins with")
    generate.add_argument("--length", type=_count, default=500, metavar="N", help="characters to write (default: 500)")
    generate.add_argument("--temperature", type=_temperature, default=0.8, metavar="T",
                          help="how daring: 0 takes the likeliest character, 1 draws as the model thinks (default: 0.8)")
    generate.add_argument("--seed", type=_seed, metavar="N", help="makes the text reproducible (default: another one each time)")
    generate.add_argument("--speed", action="store_true", help="say on stderr how long a character took")

    info = commands.add_parser("info", help="print version, instruction set, threads and build")
    info.add_argument("--json", action="store_true", help="print them as JSON")

    bench = commands.add_parser("bench", help="run benchmarks against NumPy and other libraries", add_help=False)
    bench.add_argument("arguments", nargs=argparse.REMAINDER)
    return top


def _count(text: str) -> int:
    value = int(text) if text.strip().isdecimal() else 0
    if not 1 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return value


def _seed(text: str) -> int:
    if not text.strip().isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2⁶⁴ - 1, got {text!r}")
    return int(text)


def _sizes(text: str) -> list[int]:
    """"128,64" → [128, 64]; "" → no hidden layer."""
    return [_count(part) for part in text.split(",")] if text.strip() else []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number greater than 0, got {text!r}")
    return value


def _temperature(text: str) -> float:
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r}")
    return value


def _fraction(text: str) -> float:
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and less than 1, got {text!r}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 1 after an error, 2 for wrong usage, 130 after Ctrl-C."""
    top = parser()
    try:
        options, rest = top.parse_known_args(arguments)
        if options.command == "bench":
            from fastnn.cli.bench import run as bench

            return bench([*rest, *options.arguments])
        if rest:
            top.error(f"unrecognized arguments: {' '.join(rest)}")
        if options.version:
            from fastnn import __version__

            print(f"fastnn {__version__}")
        elif options.command == "train":
            from fastnn.cli.train import run as train

            train(options)
        elif options.command == "generate":
            from fastnn.cli.generate import run as generate

            generate(options)
        elif options.command == "predict":
            from fastnn.cli.predict import run as predict

            predict(options)
        elif options.command == "info":
            from fastnn.cli.info import run as info

            info(options)
        else:
            top.print_help()
            return 2
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nfastnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has enough; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ValueError, TypeError, OSError, ImportError, MemoryError, ArithmeticError) as error:
        print(f"fastnn: {sentence(error)}", file=sys.stderr)
        return 1
    return 0


def sentence(error: BaseException) -> str:
    """An error as one line for people."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
