"""Vocabularies: between text and the integers that networks take for its characters or words.

A vocabulary is its `symbols` and little else: built from these again, as a saved model does, it gives the same integers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice, repeat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .epochs import _integer

__all__ = ["CharVocabulary", "WordVocabulary"]

_CHUNK = 1 << 16  # characters that are looked up at a time, so that what is in between stays in the cache

# a word, with the apostrophes and hyphens within it, or any other single character that is no space
_WORD = r"\w+(?:['’-]\w+)*|[^\w\s]"


class _Vocabulary:
    """Symbols, numbered from 0. unknown: the symbol among them that stands for all others, or None."""

    def __init__(self, symbols: Iterable[str], unknown: str | None) -> None:
        self.symbols = tuple(symbols)
        for i, symbol in enumerate(self.symbols):
            if not isinstance(symbol, str):
                raise TypeError(f"symbols must be strings, but symbols[{i}] is a {type(symbol).__name__}.")
            if not symbol:
                raise ValueError(f"symbols must not be empty, but symbols[{i}] is.")
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(self._ids) < len(self.symbols):
            twice = Counter(self.symbols).most_common(1)[0][0]
            raise ValueError(f"symbols must be distinct, but {twice!r} is there more than once.")
        self.unknown = unknown
        self.unknown_index = None if unknown is None else self._index("unknown", unknown)

    def _index(self, name: str, symbol: str) -> int:
        if symbol not in self._ids:
            raise ValueError(f"{name} must be one of the {len(self)} symbols or None, but is {symbol!r}.")
        return self._ids[symbol]

    def __len__(self) -> int:
        return len(self.symbols)

    def _chosen(self, ids: ArrayLike) -> Iterator[str]:
        """The symbols of these integers."""
        array = np.asarray(ids)
        if not array.size:
            return iter(())
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise TypeError(f"ids must be a one-dimensional array of integers, but has dtype {array.dtype} and shape {array.shape}.")
        wrong = (array < 0) | (array >= len(self))
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(f"ids must be at least 0 and below {len(self)}, but ids[{at}] is {array[at]}.")
        return map(self.symbols.__getitem__, array.tolist())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} symbols{'' if self.unknown is None else f', unknown={self.unknown!r}'})"


class CharVocabulary(_Vocabulary):
    """Characters and their integers.

    symbols: the characters, each a string of one (a code point, as Python counts them). unknown: the symbol that stands for characters that are
    not among them, which may be longer, such as "<unk>"; None: they are an error.
    """

    def __init__(self, symbols: Iterable[str], unknown: str | None = None) -> None:
        super().__init__(symbols, unknown)
        for i, symbol in enumerate(self.symbols):
            if len(symbol) != 1 and symbol != unknown:
                raise ValueError(f"symbols must be single characters, but symbols[{i}] is {symbol!r}.")
        places = {ord(symbol): i for i, symbol in enumerate(self.symbols) if len(symbol) == 1}
        # by code point; the last entry is for all beyond
        self._table = np.full(max(places, default=-1) + 2, -1 if self.unknown_index is None else self.unknown_index, np.int64)
        self._table[list(places)] = list(places.values())

    @classmethod
    def from_text(cls, text: str, unknown: str | None = None) -> CharVocabulary:
        """The distinct characters of a text in the order of their code points, after the `unknown` symbol where one is given."""
        characters = sorted(set(_text(text)) - {unknown})
        return cls(characters if unknown is None else [unknown, *characters], unknown)

    def encode(self, text: str) -> NDArray[np.int64]:
        """The integers of a text's characters, (len(text),). ValueError naming an unknown one and its position, without an `unknown` symbol."""
        ids = np.empty(len(_text(text)), np.int64)
        for start in range(0, len(text), _CHUNK):
            codes = np.frombuffer(text[start : start + _CHUNK].encode("utf-32-le", "surrogatepass"), "<u4")
            part = self._table.take(codes, mode="clip", out=ids[start : start + _CHUNK])
            if self.unknown is None and part.min() < 0:
                at = start + int(part.argmin())
                raise ValueError(f"text must have known characters, but has {text[at]!r} (U+{ord(text[at]):04X}) at position {at}, "
                                 f"which is none of the {len(self)} symbols.")
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """The text of such integers, (n,). ValueError for one that has no symbol."""
        return "".join(self._chosen(ids))


class WordVocabulary(_Vocabulary):
    """Words and their integers.

    Text is cut into words (letters, digits and underscores, with apostrophes and hyphens between them) and other single characters, such as
    punctuation; space is not kept. `unknown` and `padding`, where they are in the text, are words too.

    symbols: the words. unknown: the symbol that stands for words that are not among them; None: they are an error. padding: the symbol that fills
    up sequences (its integer is `padding_index`), or None. lowercase: make text lower case before anything else.
    """

    def __init__(self, symbols: Iterable[str], unknown: str | None = "<unk>", padding: str | None = None, lowercase: bool = False) -> None:
        super().__init__(symbols, unknown)
        self.padding, self.lowercase = padding, bool(lowercase)
        self.padding_index = None if padding is None else self._index("padding", padding)
        self._pattern = re.compile("|".join([*(re.escape(symbol) for symbol in (unknown, padding) if symbol is not None), _WORD]))

    @classmethod
    def from_text(cls, text: str, max_size: int | None = None, min_count: int = 1, lowercase: bool = False, unknown: str | None = "<unk>",
                  padding: str | None = None) -> WordVocabulary:
        """The `unknown` symbol, the `padding` one, then the words of a text, the most frequent first and equally frequent ones by alphabet.

        max_size: of the whole vocabulary, so that rarer words are left out. min_count: leave out those that are there less often.
        """
        empty = cls([symbol for symbol in (unknown, padding) if symbol is not None], unknown, padding, lowercase)
        if max_size is not None:
            max_size = _integer("max_size", max_size, len(empty))
        min_count = _integer("min_count", min_count, 1)
        counts = Counter(empty._words(text))
        words = [word for word, count in counts.items() if count >= min_count and word not in empty.symbols]
        words.sort(key=lambda word: (-counts[word], word))
        return cls([*empty.symbols, *words][:max_size], unknown, padding, lowercase)

    def encode(self, text: str) -> NDArray[np.int64]:
        """The integers of a text's words, (words,). ValueError naming an unknown one and its position, without an `unknown` symbol."""
        other = -1 if self.unknown_index is None else self.unknown_index
        ids = np.fromiter(map(self._ids.get, self._words(text), repeat(other)), np.int64)
        if self.unknown is None and ids.min(initial=0) < 0:
            at = int(ids.argmin())
            word = next(islice(self._words(text), at, None))
            raise ValueError(f"text must have known words, but its word {at} is {word!r}, which is none of the {len(self)} symbols.")
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """The words of such integers, (n,), with spaces between them. ValueError for one that has no symbol."""
        return " ".join(self._chosen(ids))

    def _words(self, text: str) -> Iterator[str]:
        text = _text(text)
        return map(re.Match.group, self._pattern.finditer(text.lower() if self.lowercase else text))


def _text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, but is a {type(text).__name__}.")
    return text
