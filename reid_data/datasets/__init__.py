"""Known data sets and how any set is found and loaded: the table `DATASETS` and `load_dataset`."""

import os
from dataclasses import replace
from pathlib import Path

from reid_data.datasets.card import CARD_FILE, card_from_document, read_document
from reid_data.datasets.folder import read_csv
from reid_data.datasets.layout import Layout, doubt, folders_of, is_unread, recognise, unknown_layout
from reid_data.datasets.list_files import read_cuhk03, read_msmt17, read_pku
from reid_data.datasets.named_files import read_named_files
from reid_data.datasets.spec import DatasetSpec
from reid_data.errors import InputError, UsageError, unknown_name
from reid_data.files import AnyPath, printable
from reid_data.manifest import MASK_TABLE
from reid_data.records import PLATE_SET, SPLIT_FOLDERS, Card, Colour, Record, ReidDataset, over_matte, read_with

DUKE_NOTICE = (
    "DukeMTMC was withdrawn by its authors in 2019 (the recording went beyond the approved protocol). It is read only from the copy "
    "you hold; do not pass it on, and check whether your venue accepts results on it."
)

DATASETS: dict[str, DatasetSpec] = {
    "market": DatasetSpec(
        name="market",
        folders=("market", "market1501", "Market-1501-v15.09.15", "Market-1501", "market1501/Market-1501-v15.09.15"),
        reader=read_named_files,
        expected={
            "train": {"images": 12_936, "ids": 751, "cameras": 6},
            "query": {"images": 3_368, "ids": 750, "cameras": 6},
            "gallery": {"images": 19_732, "ids": 750, "cameras": 6, "junk": 3_819, "distractors": 2_798},
        },
        terms="research only; its readme says: please do not distribute",
        status="restricted",
        cite="Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015",
    ),
    "duke": DatasetSpec(
        name="duke",
        folders=(
            "duke",
            "DukeMTMC-reID",
            "dukemtmc-reid",
            "dukemtmcreid",
            "DukeMTMC-reID/DukeMTMC-reID",
            "dukemtmc-reid/DukeMTMC-reID",
        ),
        reader=read_named_files,
        expected={
            "train": {"images": 16_522, "ids": 702, "cameras": 8},
            "query": {"images": 2_228, "ids": 702, "cameras": 8},
            "gallery": {"images": 17_661, "ids": 1_110, "cameras": 8},
        },
        terms="CC BY-NC-SA 4.0 when published; withdrawn by its authors on 25 April 2019",
        status="withdrawn",
        notice=DUKE_NOTICE,
        cite="Ristani et al., ECCV workshops 2016; Zheng et al., ICCV 2017",
    ),
    "msmt17": DatasetSpec(
        name="msmt17",
        folders=("msmt17", "MSMT17_V1", "MSMT17_V2", "MSMT17", "msmt17/MSMT17_V1", "msmt17/MSMT17_V2"),
        reader=read_msmt17,
        expected={
            "train": {"images": 32_621, "ids": 1_041, "cameras": 15},
            "query": {"images": 11_659, "ids": 3_060, "cameras": 15},
            "gallery": {"images": 82_161, "ids": 3_060, "cameras": 15},
        },
        terms="research only, by agreement with its authors; no redistribution",
        status="restricted",
        cite="Wei et al., Person Transfer GAN to Bridge Domain Gap, CVPR 2018",
    ),
    **{
        name: DatasetSpec(
            name=name,
            folders=("cuhk03", "CUHK03", "cuhk03_release", "cuhk03/cuhk03_release"),
            reader=read_cuhk03,
            pattern=kind,
            expected={
                "train": {"images": train, "ids": 767, "cameras": 2},
                "query": {"images": 1_400, "ids": 700, "cameras": 2},
                "gallery": {"images": gallery, "ids": 700, "cameras": 2},
            },
            terms="research only, by agreement with its authors",
            status="restricted",
            cite="Li et al., DeepReID, CVPR 2014; split: Zhong et al., CVPR 2017",
        )
        for name, kind, train, gallery in (
            ("cuhk03", "detected", 7_365, 5_332),
            ("cuhk03-labeled", "labeled", 7_368, 5_328),
        )
    },
    "pku": DatasetSpec(
        name="pku",
        folders=("pku", "PKU-Reid", "PKU-Reid-Dataset", "pku-reid"),
        reader=read_pku,
        pattern=r"(?P<camid>0[12])_[1-8]\.(png|jpg)",
        expected={
            "train": {"ids": 57, "images": 912, "cameras": 2},
            "query": {"ids": 57, "images": 456, "cameras": 1},
            "gallery": {"ids": 57, "images": 456, "cameras": 1},
        },
        terms="CC BY-NC-SA 4.0; research only",
        status="restricted",
        cite="Ma et al., Orientation Driven Bag of Appearances for Person Re-identification, arXiv:1605.02464",
    ),
}


def is_path(name: str) -> bool:
    """Whether `name` is meant as a path: it has a slash, is `.` or `..`, or ends in .csv."""
    return "/" in name or name in (".", "..") or os.sep in name or name.lower().endswith(".csv")


def find_dataset(name: str, data_root: Path) -> Path:
    """The folder (or CSV file) that `name` means: a path, a folder of that name below `data_root`, or a known set's usual folder.

    Raises InputError for a known set or a path that is not there, UsageError for a name that nothing has.
    """
    if is_path(name):
        path, plain = Path(name).expanduser(), name.rstrip("/")
        if not path.exists() and plain and "/" not in plain and (plain in DATASETS or (data_root / plain).is_dir()):
            return find_dataset(plain, data_root)  # a name with the slash that a shell's completion adds
        if not path.exists():
            raise InputError(f"'{printable(path)}' does not exist.")
        return path
    spec = DATASETS.get(name)
    there = [folder for folder in (name, *(spec.folders if spec else ())) if (data_root / folder).is_dir()]
    if there:
        innermost = max(there, key=lambda folder: folder.count("/"))
        return data_root / next((folder for folder in there if _looks_like_a_set(data_root / folder)), innermost)
    if spec:
        places = ", ".join(f"{folder}/" for folder in spec.folders)
        raise InputError(
            f"'{name}' is not below the data root '{printable(data_root)}'. Looked for {places}. Put your copy there, or say where it "
            "is with --data-root or REID_DATA, or give its path."
        )
    error = unknown_name("data set", name, {*DATASETS, *found_names(data_root)})
    raise UsageError(f"{error} A folder is given as a path: './{name}'.") if Path(name).is_dir() else error


def found_names(data_root: Path) -> list[str]:
    """Sorted names by which the sets below `data_root` load: known sets by their table name, others by their folder's."""
    known = {spec.name for spec in DATASETS.values() if any((data_root / folder).is_dir() for folder in spec.folders)}
    claimed = {folder.split("/")[0] for name in known for folder in DATASETS[name].folders}
    others = {folder for folder in folders_of(data_root) if folder not in claimed and recognise(data_root / folder)}
    return sorted(known | others, key=os.fsencode)


def unread_folders(data_root: Path) -> list[str]:
    """Sorted names of the folders below `data_root` that hold pictures, but not as a set."""
    seen = set(found_names(data_root)) | {folder.split("/")[0] for spec in DATASETS.values() for folder in spec.folders}
    return [name for name in folders_of(data_root) if name not in seen and is_unread(data_root / name)]


def _looks_like_a_set(folder: Path) -> bool:
    if (folder / MASK_TABLE).is_file():  # masks of a set lie in the set's own split folders
        return False
    return (folder / CARD_FILE).is_file() or any((folder / part).is_dir() for part in SPLIT_FOLDERS.values())


def load_dataset(name: AnyPath, data_root: AnyPath, matte: Colour | None = None) -> ReidDataset:
    """Load a set by name (see `find_dataset`) or by path, as text or as a `Path`, with its records sorted by split and file name.

    A folder by path, or one that is not in the table, is read by its layout (see `layout.recognise`), a file as CSV.
    `matte`: the colour that transparent pictures are read over; without it they are refused, but for a background set's,
    whose alpha means something else. Raises ReidError (see `find_dataset` and the readers).
    """
    name = name if isinstance(name, str) else os.path.join(os.curdir, Path(name).expanduser())
    root = find_dataset(name, Path(data_root))
    spec, layout = _spec_for(name, root)
    root = layout.root if layout else root
    document = read_document(root)
    card = card_from_document(document) if document else spec.card()
    splits, ignored = spec.reader(root, replace(spec, name=card.name))
    if card.kind == PLATE_SET:
        splits = {split: read_with(records, "ignored") for split, records in splits.items()}
    card = replace(card, name=_plain_name(name, card))
    said = _told(layout, [record for records in splits.values() for record in records]) if layout else ""
    dataset = ReidDataset(card, root, splits["train"], splits["query"], splits["gallery"], ignored, said)
    return over_matte(dataset, matte)


def _told(layout: Layout, records: list[Record]) -> str:
    doubted = doubt(layout, records)
    return ". ".join(filter(None, (layout.why, doubted))) + ("." if layout.why and not doubted else "")


def _plain_name(name: str, card: Card) -> str:
    return card.name if is_path(name) else name


def known_layout(name: str, root: Path) -> bool:
    """Whether a set can be read of a folder or file: it is known by its name, or has one of the layouts."""
    return root.is_file() or _table_row(name, root) is not None or recognise(root) is not None


def _table_row(name: str, root: Path) -> DatasetSpec | None:
    for spec in DATASETS.values():
        if name == spec.name or (is_path(name) and root.name in {Path(folder).name for folder in spec.folders}):
            return spec
    return None


def _spec_for(name: str, root: Path) -> tuple[DatasetSpec, Layout | None]:
    """The table row of a known name or folder; else a row made up for this folder's layout, with that."""
    spec = _table_row(name, root)
    if spec is not None:
        moved = spec.reader is read_named_files and not _looks_like_a_set(root)
        layout = recognise(root) if moved else None
        return (
            (spec, layout)
            if layout is None
            else (replace(spec, reader=layout.reader, split_folders=layout.splits), layout)
        )
    if root.is_file():
        return DatasetSpec(root.stem, (), read_csv), None
    layout = recognise(root)
    if layout is None:
        raise unknown_layout(root)
    return DatasetSpec(root.resolve().name, (), layout.reader, split_folders=layout.splits), layout
