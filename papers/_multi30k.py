"""Multi30k: English captions of pictures and what translators made of them in German.

Elliott, Frank, Sima'an, Specia. Multi30K: Multilingual English-German image descriptions. 2016.
29,000 pairs of sentences for training, 1,014 for validation, 1,000 for testing, 13 words long on
average. For `--full` of the papers on translation, and what they need for any pairs of sequences:
batches of similar length, BLEU.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from minidl.datasets import MissingData
from minidl.datasets.download import DownloadError, fetch
from minidl.datasets.files import File, data_folder, locate, read_verified

from ._cmudict import END, Pair, padded

UNKNOWN = 3  # a word that is not in the vocabulary; the numbers before it are those of _cmudict
SPECIAL = ["<pad>", "<start>", "<end>", "<unknown>"]
WORD = re.compile(r"\w+(?:[-'’]\w+)*|[^\w\s]")  # words with their hyphens, and each other sign
COMMIT = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
ADDRESS = f"https://raw.githubusercontent.com/multi30k/dataset/{COMMIT}/data/task1/raw/"
HASHES = {  # sha256 of the published file, and of the text in it
    "train.en": (
        "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
        "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    ),
    "train.de": (
        "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
        "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    ),
    "val.en": (
        "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
        "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    ),
    "val.de": (
        "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
        "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    ),
    "test_2016_flickr.en": (
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
        "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    ),
    "test_2016_flickr.de": (
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    ),
}


class Pairs:
    """Pairs of sentences, English to German, in lower case.

    source_words, target_words   the vocabularies: words by number, SPECIAL first
    train, validation, test      lists of `Pair`: the numbers of the words; no PAD, START or END
    validation_references, test_references   the German words themselves, which BLEU compares with:
                                 an UNKNOWN in a translation is always wrong
    """

    name = "multi30k"

    def __init__(self, texts: dict[str, str], vocabulary: int, shared: bool, sha256: str) -> None:
        """texts: the text of each file of HASHES, a sentence per line."""
        self.sha256 = sha256
        split = {name: list(map(words, text.splitlines())) for name, text in texts.items()}
        if shared:
            both = most_frequent(split["train.en"] + split["train.de"], vocabulary)
            self.source_words = self.target_words = both
        else:
            self.source_words = most_frequent(split["train.en"], vocabulary)
            self.target_words = most_frequent(split["train.de"], vocabulary)
        sources = [split[f"{part}.en"] for part in ("train", "val", "test_2016_flickr")]
        targets = [split[f"{part}.de"] for part in ("train", "val", "test_2016_flickr")]
        self.train, self.validation, self.test = (
            list(zip(numbered(s, self.source_words), numbered(t, self.target_words), strict=True))
            for s, t in zip(sources, targets, strict=True)
        )
        _, self.validation_references, self.test_references = targets

    def line(self) -> str:
        sizes = f"{len(self.train):,} training and {len(self.test):,} test sentences"
        words = f"{len(self.source_words):,} English and {len(self.target_words):,} German words"
        return f"data: multi30k ({sizes}, {words})"

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "real": True, "sha256": self.sha256}

    def said(self, sentence: Sequence[int]) -> list[str]:
        """The German words with these numbers."""
        return [self.target_words[number] for number in sentence]


def load(vocabulary: int, shared: bool = False) -> Pairs:
    """The sentences, from `multi30k/` in the data folder, else downloaded into it.

    vocabulary: at most so many numbers for the words of each language or, if they share one
    vocabulary, of both: the most frequent in training. There are 10,341 and 18,606 with SPECIAL.

    Raises MissingData if a file is not there and cannot be fetched, CorruptData if it is not the
    published one.
    """
    place = data_folder() / "multi30k"
    files = {
        name: File(f"{name}.gz", packed, (f"{ADDRESS}{name}.gz",), content)
        for name, (packed, content) in HASHES.items()
    }
    missing = [file for file in files.values() if locate(place, file) is None]
    try:
        for file in missing:
            fetch(file.urls, place / file.name, file.sha256)
    except (DownloadError, OSError) as error:
        reason = f"not in {place}, no download ({error})"
        raise MissingData(
            f"multi30k: {reason}. Ways to get it:\n"
            f"  - put {', '.join(file.name for file in missing)} into {place}, "
            "or set MINIDL_DATA to a folder that has multi30k/\n"
            f"  - download them from {ADDRESS}",
            reason,
        ) from None
    contents = {name: read_verified(locate(place, file), file) for name, file in files.items()}
    texts = {name: content.decode() for name, (content, _) in contents.items()}
    everything = "".join(sha256 for _, sha256 in contents.values())
    return Pairs(texts, vocabulary, shared, hashlib.sha256(everything.encode()).hexdigest())


def words(sentence: str) -> list[str]:
    """Its words and punctuation marks, in lower case."""
    return WORD.findall(sentence.lower())


def most_frequent(sentences: list[list[str]], count: int) -> list[str]:
    """SPECIAL and the most frequent words, in all not more than `count`; ties in order of the
    alphabet."""
    counts = Counter(word for sentence in sentences for word in sentence)
    return SPECIAL + sorted(counts, key=lambda word: (-counts[word], word))[: count - len(SPECIAL)]


def numbered(sentences: list[list[str]], vocabulary: list[str]) -> list[list[int]]:
    number = {word: n for n, word in enumerate(vocabulary)}
    return [[number.get(word, UNKNOWN) for word in sentence] for sentence in sentences]


class ByLength:
    """A loader of batches of pairs of similar length, so that few places are filled up.

    Of a random order, so many pairs as make 20 batches are sorted by length and cut into batches
    (Bahdanau et al. 2014, B.2). A batch is the sources (B, S), each with END, and the targets
    (B, T), each with END, int64, filled up with PAD. What does not fill a batch is left out.
    """

    def __init__(self, pairs: Sequence[Pair], batch: int, seed: int, together: int = 20) -> None:
        self.pairs, self.batch, self.seed, self.together = pairs, batch, seed, together
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return len(self.pairs) // self.batch

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """The next iteration has the order of this epoch, without its first `skip` batches."""
        self.epoch, self.skip = epoch, skip

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.pairs))
        order = order[: len(self) * self.batch]
        pool = self.batch * self.together
        batches = []
        for start in range(0, len(order), pool):
            chosen = sorted(order[start : start + pool], key=self.length)
            batches += [chosen[i : i + self.batch] for i in range(0, len(chosen), self.batch)]
        for numbers in batches[self.skip :]:
            yield arrays([self.pairs[i] for i in numbers])

    def length(self, i: int) -> tuple[int, int]:
        source, target = self.pairs[i]
        return len(target), len(source)


def arrays(pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """Sources (B, S) and targets (B, T), each with END, filled up with PAD."""
    return padded([[*s, END] for s, _ in pairs]), padded([[*t, END] for _, t in pairs])


def bleu(
    hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]
) -> float:
    """BLEU of a corpus, 0 to 100, one reference for each hypothesis.

        100 exp(min(0, 1 - r / h)) (p_1 p_2 p_3 p_4)^(1/4)

    h, r: words in all hypotheses, in all references. p_n: of all n-grams in the hypotheses, the
    share that is in the reference, each counted at most as often as it is there. 0 if a p_n is.

    Source: Papineni, Roukos, Ward, Zhu, "BLEU: a Method for Automatic Evaluation of Machine
    Translation", 2002.
    """
    h, r = sum(map(len, hypotheses)), sum(map(len, references))
    logs = 0.0
    for n in range(1, 5):
        found = total = 0
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            ours, theirs = ngrams(hypothesis, n), ngrams(reference, n)
            found += sum((ours & theirs).values())
            total += sum(ours.values())
        if not found:
            return 0.0
        logs += math.log(found / total)
    return 100 * math.exp(min(0, 1 - r / h) + logs / 4)


def ngrams(sentence: Sequence[Hashable], n: int) -> Counter:
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))
