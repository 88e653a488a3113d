"""Vocabularies, and the streams of text that language models are trained on."""

import json

import numpy as np
import pytest

from fastnn import nn
from fastnn.data import CharVocabulary, StreamBatches, WordVocabulary

TEXTS = ["", "a", "to be, or not to be\n", "naïve Größe — 漢字 🙂🙃", "\x00\x00 tabs\t\r\n", "lone \ud800 surrogate", "abc" * 50_000 + "é"]
SENTENCE = "The cat's well-known hat. The cat sat -- the mat!"


# --- characters ---


@pytest.mark.parametrize("text", TEXTS)
def test_characters_come_back(text):
    vocabulary = CharVocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64 and ids.shape == (len(text),)
    assert vocabulary.symbols == tuple(sorted(set(text))) and len(vocabulary) == len(set(text))
    assert ids.tolist() == [vocabulary.symbols.index(character) for character in text]
    assert vocabulary.decode(ids) == text and vocabulary.decode(ids.tolist()) == text


def test_symbols_rebuild_a_vocabulary():
    for vocabulary in (CharVocabulary.from_text(SENTENCE), CharVocabulary.from_text(SENTENCE, unknown="<unk>")):
        again = CharVocabulary(json.loads(json.dumps(vocabulary.symbols)), vocabulary.unknown)
        assert again.symbols == vocabulary.symbols and np.array_equal(again.encode(SENTENCE), vocabulary.encode(SENTENCE))
    unsorted = CharVocabulary("zya")
    assert unsorted.encode("azy").tolist() == [2, 0, 1]


def test_unknown_characters_become_the_unknown_symbol():
    vocabulary = CharVocabulary.from_text("abc", unknown="<unk>")
    assert vocabulary.symbols == ("<unk>", "a", "b", "c") and vocabulary.unknown_index == 0
    ids = vocabulary.encode("aXb🙂\x00")
    assert ids.tolist() == [1, 0, 2, 0, 0] and vocabulary.decode(ids) == "a<unk>b<unk><unk>"
    assert CharVocabulary.from_text("ab?", unknown="?").symbols == ("?", "a", "b")
    assert CharVocabulary((), None).encode("").shape == (0,)


@pytest.mark.parametrize("position", [0, 5, 65_535, 65_536, 199_999])
@pytest.mark.parametrize("character", ["\x00", "`", "é", "🙂"])
def test_unknown_character_is_named_with_its_position(character, position):
    text = "a" * position + character + "a" * (200_000 - position - 1)
    with pytest.raises(ValueError, match=rf"has '.+' \(U\+{ord(character):04X}\) at position {position}, which is none of the 2 symbols"):
        CharVocabulary("ab").encode(text)


# --- words ---


def test_words_are_counted_and_sorted():
    vocabulary = WordVocabulary.from_text(SENTENCE)
    assert vocabulary.symbols == ("<unk>", "-", "The", "!", ".", "cat", "cat's", "hat", "mat", "sat", "the", "well-known")
    assert vocabulary.unknown_index == 0 and vocabulary.padding_index is None
    lower = WordVocabulary.from_text(SENTENCE, lowercase=True, padding="<pad>")
    assert lower.symbols[:4] == ("<unk>", "<pad>", "the", "-") and lower.padding_index == 1
    assert lower.encode("THE hat").tolist() == lower.encode("the hat").tolist() == [2, lower.symbols.index("hat")]
    assert WordVocabulary.from_text(SENTENCE, max_size=3).symbols == ("<unk>", "-", "The")
    assert WordVocabulary.from_text(SENTENCE, min_count=2).symbols == ("<unk>", "-", "The")
    assert WordVocabulary.from_text("").symbols == ("<unk>",)


@pytest.mark.parametrize("text", [*TEXTS, SENTENCE, "über don’t x_1 3.5 <unk> a<pad>b"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_decoded_words_are_encoded_to_the_same_integers(text, lowercase):
    vocabulary = WordVocabulary.from_text(text, lowercase=lowercase, padding="<pad>")
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64 and np.array_equal(vocabulary.encode(vocabulary.decode(ids)), ids)
    again = WordVocabulary(vocabulary.symbols, padding="<pad>", lowercase=lowercase)
    assert np.array_equal(again.encode(text), ids)
    assert vocabulary.decode(vocabulary.encode("<pad> <unk>")) == "<pad> <unk>"
    assert "".join(vocabulary.decode(ids).split()) == "".join((text.lower() if lowercase else text).split())


def test_unknown_words_become_the_unknown_symbol_or_an_error():
    assert WordVocabulary.from_text("a b").encode("a dog b").tolist() == [1, 0, 2]
    strict = WordVocabulary.from_text("a b", unknown=None)
    assert strict.encode("b a").tolist() == [1, 0]
    with pytest.raises(ValueError, match="its word 1 is 'dog', which is none of the 2 symbols"):
        strict.encode("a dog b")


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: CharVocabulary.from_text(b"abc"), TypeError, "text must be a str, but is a bytes"),
    (lambda: CharVocabulary("ab").encode(None), TypeError, "text must be a str, but is a NoneType"),
    (lambda: CharVocabulary("aba"), ValueError, "symbols must be distinct, but 'a' is there more than once"),
    (lambda: CharVocabulary(["a", "bc"]), ValueError, r"single characters, but symbols\[1\] is 'bc'"),
    (lambda: CharVocabulary(["a", ""]), ValueError, r"must not be empty, but symbols\[1\] is"),
    (lambda: CharVocabulary(["a", 1]), TypeError, r"symbols must be strings, but symbols\[1\] is a int"),
    (lambda: CharVocabulary("ab", unknown="?"), ValueError, r"unknown must be one of the 2 symbols or None, but is '\?'"),
    (lambda: CharVocabulary("ab").decode([0, 2]), ValueError, r"ids must be at least 0 and below 2, but ids\[1\] is 2"),
    (lambda: CharVocabulary("ab").decode([-1]), ValueError, r"ids\[0\] is -1"),
    (lambda: CharVocabulary("ab").decode([0.0]), TypeError, r"array of integers, but has dtype float64 and shape \(1,\)"),
    (lambda: CharVocabulary("ab").decode([[0]]), TypeError, r"has dtype int64 and shape \(1, 1\)"),
    (lambda: WordVocabulary(["a"]), ValueError, "unknown must be one of the 1 symbols or None, but is '<unk>'"),
    (lambda: WordVocabulary(["<unk>"], padding="<pad>"), ValueError, "padding must be one of"),
    (lambda: WordVocabulary.from_text("a", padding="<unk>"), ValueError, "symbols must be distinct"),
    (lambda: WordVocabulary.from_text("a", max_size=0), ValueError, "max_size must be at least 1, but is 0"),
    (lambda: WordVocabulary.from_text("a", min_count=1.5), TypeError, "min_count must be an integer"),
    (lambda: WordVocabulary.from_text(["a"]), TypeError, "text must be a str, but is a list"),
    (lambda: StreamBatches(np.arange(20).reshape(4, 5), 2, 3), TypeError, r"dtype int64 and shape \(4, 5\)"),
    (lambda: StreamBatches(np.arange(20.0), 2, 3), TypeError, "array of integers, but has dtype float64"),
    (lambda: StreamBatches([], 2, 3), ValueError, "at least 7 integers for batches of 2 streams and 3 steps, but has 0"),
    (lambda: StreamBatches(range(6), 2, 3), ValueError, "at least 7 integers for batches of 2 streams and 3 steps, but has 6"),
    (lambda: StreamBatches(range(8), 2, 3, random_offset=True), ValueError, "at least 9 integers"),
    (lambda: StreamBatches(range(2), 2, 3, drop_last=False), ValueError, "at least 3 integers"),
    (lambda: StreamBatches(range(9), 2**62, 2**62), ValueError, "at least"),
    (lambda: StreamBatches(range(9), 0, 3), ValueError, "batch_size must be at least 1, but is 0"),
    (lambda: StreamBatches(range(9), 2, 1.0), TypeError, "steps must be an integer"),
    (lambda: StreamBatches(range(9), 2, 3, seed=-1), ValueError, "seed must be at least 0"),
    (lambda: StreamBatches(range(9), 2, 3, seed=1, rng=1), ValueError, "give one of them"),
    (lambda: StreamBatches(range(9), 2, 3).load_state_dict({}), ValueError, "The state of a StreamBatches has the entries"),
    (lambda: StreamBatches(range(9), 2, 3).load_state_dict(StreamBatches(range(9), 2, 2).state_dict()), ValueError, "with steps=2, but this one has steps=3"),
])  # fmt: skip
def test_wrong_arguments_are_told_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


# --- streams ---


@pytest.mark.parametrize("more, batch_size, steps", [(0, 2, 3), (1, 2, 3), (2, 2, 3), (67, 4, 8), (90, 1, 10), (42, 7, 1), (65, 4, 8)])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("random_offset", [False, True])
def test_rows_go_on_where_those_of_the_batch_before_ended(more, batch_size, steps, drop_last, random_offset):
    n = batch_size * steps + (steps if random_offset else 1) + more
    batches = StreamBatches(np.arange(n), batch_size, steps, drop_last=drop_last, random_offset=random_offset, seed=3)
    for epoch in range(3):
        start, given = batches.start(), list(batches)
        assert len(given) == len(batches) >= 1 and start == batches.start(epoch)
        assert all(x.shape == (batch_size, steps) for x, _ in (given if drop_last else given[:-1]))
        assert all(np.array_equal(y, x + 1) for x, y in given)
        streams = np.concatenate([x for x, _ in given], axis=1)
        assert np.array_equal(streams, streams[:, :1] + np.arange(streams.shape[1]))
        assert np.array_equal(streams[:, 0], start + np.arange(batch_size) * batches.length)
        # all of the text but what makes no whole row
        left_out = n - 1 - streams.size
        assert left_out < batch_size * (steps if drop_last else 1) + (steps - 1 if random_offset else 0)


def test_batches_are_views_of_the_text_first_steps_or_first_rows(tmp_path):
    ids = np.arange(100, dtype=np.uint8)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint8, "r")
    doubled = np.repeat(ids, 2)
    for source in (ids, mapped, doubled[::2], ids[::-1][::-1], ids.astype(">i4")):
        for (x, y), (xt, yt) in zip(StreamBatches(source, 3, 8), StreamBatches(source, 3, 8, batch_first=False), strict=True):
            assert np.shares_memory(x, source) and np.shares_memory(y, source) and type(x) is np.ndarray
            assert np.array_equal(x, xt.T) and np.array_equal(y, yt.T) and xt.shape == (8, 3)
    assert all(np.array_equal(x, y - 1) for x, y in StreamBatches(ids.tolist(), 3, 8))


def test_epochs_cut_the_text_at_offsets_that_the_seed_determines():
    a, b = (StreamBatches(np.arange(1000), 4, 10, random_offset=True, seed=5) for _ in range(2))
    starts = [a.start(epoch) for epoch in range(200)]
    assert set(starts) == set(range(10)) and starts == [b.start(epoch) for epoch in range(200)]
    assert starts != [StreamBatches(np.arange(1000), 4, 10, random_offset=True, seed=6).start(epoch) for epoch in range(200)]
    assert [next(iter(a))[0][0, 0] for _ in range(5)] == starts[:5]  # a loop left early is followed by the next epoch
    assert {StreamBatches(np.arange(1000), 4, 10).start(epoch) for epoch in range(9)} == {0}
    assert StreamBatches(range(99), 2, 3, random_offset=True, rng=4).seed == StreamBatches(range(99), 2, 3, random_offset=True, rng=4).seed
    assert starts[:8] == [9, 9, 8, 6, 1, 7, 7, 6]  # and never change


@pytest.mark.parametrize("given", [0, 1, 5, 24, 25, 30])
def test_batches_go_on_from_a_saved_state(given):
    def endless(batches):
        while True:
            yield from batches

    a, b = (StreamBatches(np.arange(1000), 4, 10, random_offset=True, seed=seed) for seed in (3, 9))
    stream = endless(a)
    for _ in range(given):
        next(stream)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    other = endless(b)
    for _ in range(60):
        assert np.array_equal(next(stream), next(other))


def test_carried_state_gives_what_the_whole_text_gives():
    ids = np.random.default_rng(0).integers(0, 5, 121)
    layer = nn.GRU(5, 4, batch_first=True, rng=0).eval()
    one_hot = np.eye(5, dtype=np.float32)
    batches = StreamBatches(ids, 3, 8)
    state, parts = None, []
    for x, _ in batches:
        y, state = layer(one_hot[x], state)
        parts.append(y)
    whole, last = layer(one_hot[ids[:120].reshape(3, 40)])
    assert np.array_equal(np.concatenate(parts, axis=1), whole) and np.array_equal(state, last)
