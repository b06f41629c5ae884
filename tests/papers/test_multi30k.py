"""The sentences of Multi30k: files, vocabularies, batches, BLEU."""

import gzip
import hashlib
import random
from collections import Counter

import numpy as np
import pytest

from minidl.datasets import CorruptData, MissingData, download
from papers import _lab, _multi30k
from papers._cmudict import END, PAD

TEXTS = {
    "train.en": "A man runs.\nTwo men run!\nA dog.\nA man sees a dog.\nMen.\nA t-shirt",
    "train.de": "Ein Mann rennt.\nZwei Männer rennen!\nEin Hund.\nEin Mann sieht ’nen Hund.\n"
    "Männer.\nEin T-Shirt",
    "val.en": "A cat runs.\nA dog sees a man.",
    "val.de": "Eine Katze rennt.\nEin Hund sieht ’nen Mann.",
    "test_2016_flickr.en": "Two men see a dog and a man.\nA man sees a dog.",
    "test_2016_flickr.de": "Zwei Männer sehen ’nen Hund.\nEin Mann sieht ’nen Hund.",
}


@pytest.fixture
def pairs():
    return _multi30k.Pairs(TEXTS, 30, False, "0" * 64)


def test_words_and_vocabularies(pairs):
    assert _multi30k.words("Two T-Shirts, 'it's’ 3.") == [*"two t-shirts , ' it's ’ 3 .".split()]
    # . a man dog men ! run runs sees t-shirt two
    assert pairs.source_words[:9] == [*_multi30k.SPECIAL, "a", ".", "dog", "man", "men"]
    assert pairs.said(pairs.train[0][1]) == ["ein", "mann", "rennt", "."]
    assert pairs.validation[0][0] == [4, 3, pairs.source_words.index("runs"), 5]  # cat: UNKNOWN
    assert pairs.validation_references[0] == ["eine", "katze", "rennt", "."]
    assert pairs.test_references[1] == pairs.said(pairs.test[1][1])
    assert [len(part) for part in (pairs.train, pairs.validation, pairs.test)] == [6, 2, 2]
    small = _multi30k.Pairs(TEXTS, 6, False, "")
    assert len(small.source_words) == len(small.target_words) == 6
    assert small.train[1][0] == [3, 3, 3, 3]  # two men run !
    shared = _multi30k.Pairs(TEXTS, 30, True, "")
    assert shared.source_words is shared.target_words
    assert {"dog", "hund"} < set(shared.source_words)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A data folder with these texts as the published files, and no network."""
    hashes = {}
    place = tmp_path / "data" / "multi30k"
    place.mkdir(parents=True)
    for name, text in TEXTS.items():
        packed = gzip.compress(text.encode(), mtime=0)
        (place / f"{name}.gz").write_bytes(packed)
        both = packed, text.encode()
        hashes[name] = tuple(hashlib.sha256(content).hexdigest() for content in both)

    def fetch(urls, path, sha256):
        raise download.DownloadError(f"no network: {urls[0]}")

    monkeypatch.setattr(_multi30k, "HASHES", hashes)
    monkeypatch.setattr(_multi30k, "fetch", fetch)
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "data"))
    return place


def test_files_are_read_from_the_data_folder_and_checked(files, pairs):
    found = _multi30k.load(30)
    assert (found.train, found.test) == (pairs.train, pairs.test)
    assert found.line() == (
        "data: multi30k (6 training and 2 test sentences, 15 English and 17 German words)"
    )
    assert found.record() == {"name": "multi30k", "real": True, "sha256": found.sha256}
    (files / "val.de.gz").write_bytes(gzip.compress(b"Ein Satz."))
    with pytest.raises(CorruptData, match=r"val\.de\.gz has the wrong content"):
        _multi30k.load(30)


def test_missing_files_are_fetched_or_named(files, monkeypatch, start):
    contents = {name: (files / f"{name}.gz").read_bytes() for name in ("train.de", "val.en")}
    for name in contents:
        (files / f"{name}.gz").unlink()
    with pytest.raises(_lab.Misuse, match=r"put train\.de\.gz, val\.en\.gz into .*multi30k"):
        start("bahdanau", "--full")
    with pytest.raises(MissingData, match=r"no network: https://raw\.githubusercontent"):
        _multi30k.load(30)
    given = lambda urls, path, sha256: path.write_bytes(contents[path.name[:-3]])  # noqa: E731
    monkeypatch.setattr(_multi30k, "fetch", given)
    assert len(_multi30k.load(30).train) == 6


def test_batches_are_of_similar_length():
    draw = random.Random(0)
    pairs = [([3] * draw.randint(1, 30), [i + 3]) for i in range(107)]
    pairs = [(source, target * len(source)) for source, target in pairs]
    loader = _multi30k.ByLength(pairs, 5, seed=1, together=4)
    epochs = []
    for epoch in (0, 1):
        loader.set_epoch(epoch)
        epochs.append(list(loader))
        assert len(epochs[-1]) == len(loader) == 21  # and 2 pairs are left out
        firsts = [number for _, y in epochs[-1] for number in y[:, 0]]
        assert len(set(firsts)) == 105
        for pool in range(0, 21, 4):  # within 20 pairs the lengths do not fall
            lengths = [(y > 2).sum(1) for _, y in epochs[-1][pool : pool + 4]]
            assert (np.diff(np.concatenate(lengths)) >= 0).all()
        for x, y in epochs[-1]:
            assert x.shape == y.shape == (5, (x != PAD).sum(1).max())
            assert (x[np.arange(5), (x != PAD).sum(1) - 1] == END).all()
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(*epochs, strict=True))
    loader.set_epoch(0, skip=9)
    for (x, y), (u, v) in zip(epochs[0][9:], loader, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)
    other = next(iter(_multi30k.ByLength(pairs, 5, seed=2)))
    assert not np.array_equal(other[1], epochs[0][0][1])


def test_bleu():
    """Against the formula with plain counts; the example of Papineni et al. for clipping."""
    draw = random.Random(0)
    right = [[draw.choice("abc") for _ in range(draw.randint(4, 9))] for _ in range(40)]
    said = [[s if draw.random() < 0.8 else "a" for s in r][: draw.randint(3, 9)] for r in right]
    product = 1.0
    for n in range(1, 5):
        found = total = 0
        for ours, theirs in zip(said, right, strict=True):
            grams, known = (
                ["".join(text[i : i + n]) for i in range(len(text) - n + 1)]
                for text in (ours, theirs)
            )
            total += len(grams)
            found += sum(min(count, known.count(gram)) for gram, count in Counter(grams).items())
        product *= found / total
    h, r = sum(map(len, said)), sum(map(len, right))
    assert h < r
    expected = 100 * np.exp(1 - r / h) * product**0.25
    assert _multi30k.bleu(said, right) == pytest.approx(expected, rel=1e-12)
    assert _multi30k.bleu(right, right) == 100
    assert _multi30k.bleu(right + right[:1], [*right, []]) < 100  # too long: only the precision
    assert _multi30k.bleu([[*"abc"]], [[*"abc"]]) == 0  # no 4-gram
    the, cat = _multi30k.ngrams(["the"] * 7, 1), "the cat is on the mat".split()
    assert (the & _multi30k.ngrams(cat, 1)).total() == 2
