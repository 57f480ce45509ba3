"""The known data sets: where each is found, how it is read, what it must hold, on what terms."""

from reid_data.datasets.list_files import read_cuhk03, read_msmt17, read_pku
from reid_data.datasets.named_files import read_named_files
from reid_data.datasets.path_names import read_paths
from reid_data.datasets.spec import DatasetSpec

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
    "occluded-duke": DatasetSpec(
        name="occluded-duke",
        folders=("occluded-duke", "Occluded_Duke", "Occluded-DukeMTMC-reID", "occluded_duke"),
        reader=read_named_files,
        expected={"train": {"images": 15_618}, "query": {"images": 2_210}, "gallery": {"images": 17_661}},
        terms="those of DukeMTMC-reID, of which it is a part; withdrawn by its authors on 25 April 2019",
        status="withdrawn",
        notice=DUKE_NOTICE,
        cite="Miao et al., Pose-Guided Feature Alignment for Occluded Person Re-Identification, ICCV 2019",
        counted_by="OccludedDuke in fast-reid's and torchreid's forks",
    ),
    "veri": DatasetSpec(
        name="veri",
        folders=("veri", "VeRi", "VeRi-776", "VeRi_776", "veri776"),
        reader=read_named_files,
        split_folders={"train": "image_train", "query": "image_query", "gallery": "image_test"},
        expected={"train": {"images": 37_778}, "query": {"images": 1_678}, "gallery": {"images": 11_579}},
        terms="research only, on request from its authors; vehicles, not people",
        status="restricted",
        cite="Liu et al., A Deep Learning-Based Approach to Progressive Vehicle Re-identification, ECCV 2016",
        counted_by="JDAI-CV/fast-reid, fastreid/data/datasets/veri.py",
    ),
    "viper": DatasetSpec(
        name="viper",
        folders=("viper", "VIPeR", "VIPeR.v1.0", "viper/VIPeR", "VIPeR.v1.0/VIPeR"),
        reader=read_paths,
        paths={"halved": r"cam_(?P<camid>[ab])/(?P<pid>\d+)_.*"},
        ids_from_zero=True,
        expected={
            "train": {"ids": 316, "images": 632, "cameras": 2},
            "query": {"ids": 316, "images": 316, "cameras": 1},
            "gallery": {"ids": 316, "images": 316, "cameras": 1},
        },
        terms="unknown: ask its authors",
        status="restricted",
        cite="Gray et al., Evaluating Appearance Models for Recognition, Reacquisition, and Tracking, PETS 2007",
        counted_by="KaiyangZhou/deep-person-reid, torchreid/data/datasets/image/viper.py",
    ),
    "prid": DatasetSpec(
        name="prid",
        folders=("prid", "prid2011", "prid_2011", "PRID2011", "prid2011/prid_2011"),
        reader=read_paths,
        paths={"halved": r"(?:single_shot/)?cam_(?P<camid>[ab])/person_(?P<pid>\d+)\.\w+"},
        expected={
            "train": {"ids": 100, "images": 200, "cameras": 2},
            "query": {"ids": 100, "images": 100, "cameras": 1},
            "gallery": {"ids": 649, "images": 649, "cameras": 1},
        },
        terms="unknown: ask its authors",
        status="restricted",
        cite="Hirzer et al., Person Re-Identification by Descriptive and Discriminative Classification, SCIA 2011",
        counted_by="KaiyangZhou/deep-person-reid, torchreid/data/datasets/image/prid.py",
    ),
    "ilids": DatasetSpec(
        name="ilids",
        folders=("ilids", "i-LIDS_Pedestrian", "QMUL-iLIDS", "ilids/i-LIDS_Pedestrian"),
        reader=read_paths,
        paths={"halved": r"(?:Persons/)?(?P<pid>\d{4})(?P<camid>\d{3,4})\.\w+"},
        expected={"train": {"ids": 59}, "query": {"ids": 60, "images": 60}, "gallery": {"ids": 60}},
        terms="unknown: ask its authors",
        status="restricted",
        cite="Zheng et al., Associating Groups of People, BMVC 2009",
        counted_by="KaiyangZhou/deep-person-reid, torchreid/data/datasets/image/ilids.py",
    ),
    "mars": DatasetSpec(
        name="mars",
        folders=("mars", "MARS"),
        reader=read_paths,
        paths={
            "train": r"bbox_train/[^/]+/(?P<pid>\d{4})C(?P<camid>\d)T\d+F\d+\.\w+",
            "test": r"bbox_test/[^/]+/(?P<pid>\d{4}|00-1)C(?P<camid>\d)T\d+F\d+\.\w+",
        },
        expected={"train": {"cameras": 6}, "gallery": {"cameras": 6}},
        terms="research only; ask its authors",
        status="restricted",
        cite="Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-identification, ECCV 2016",
        counted_by="KaiyangZhou/deep-person-reid, torchreid/data/datasets/video/mars.py",
    ),
    "occluded-reid": DatasetSpec(
        name="occluded-reid",
        folders=("occluded-reid", "Occluded_REID", "Occluded-REID", "Occluded_ReID", "OccludedREID"),
        reader=read_paths,
        paths={
            "query": r"(?P<camid>occluded)_body_images/(?P<pid>\d+)/.*",
            "gallery": r"(?P<camid>whole)_body_images/(?P<pid>\d+)/.*",
        },
        expected={"query": {"ids": 200, "images": 1_000}, "gallery": {"ids": 200, "images": 1_000}},
        terms="unknown: ask its authors",
        status="restricted",
        cite="Zhuo et al., Occluded Person Re-identification, ICME 2018",
        counted_by="OCC_REID in forks of michuanhaohao/reid-strong-baseline",
    ),
    "prcc": DatasetSpec(
        name="prcc",
        folders=("prcc", "PRCC", "prcc/prcc", "PRCC/prcc"),
        reader=read_paths,
        paths={
            "train": r"(?:rgb/)?train/(?P<pid>\d+)/(?P<camid>[ABC])_.*",
            "query": r"(?:rgb/)?test/(?P<camid>C)/(?P<pid>\d+)/.*",
            "gallery": r"(?:rgb/)?test/(?P<camid>A)/(?P<pid>\d+)/.*",
        },
        expected={"train": {"ids": 150, "images": 17_896, "cameras": 3}, "query": {"ids": 71}, "gallery": {"ids": 71}},
        terms="research only, by agreement with its authors",
        status="restricted",
        cite="Yang et al., Person Re-identification by Contour Sketch under Moderate Clothing Change, TPAMI 2019",
        counted_by="PRCC in forks of guxinqian/Simple-CCReID (data/datasets/prcc.py)",
    ),
    "ltcc": DatasetSpec(
        name="ltcc",
        folders=("ltcc", "LTCC_ReID", "LTCC-reID", "LTCC", "ltcc/LTCC_ReID"),
        reader=read_paths,
        paths={
            split: rf"{folder}/(?P<pid>\d+)_\d+_c(?P<camid>\d+)_.*"
            for split, folder in (("train", "train"), ("query", "query"), ("gallery", "test"))
        },
        ids_from_zero=True,
        expected={
            "train": {"ids": 77, "images": 9_576},
            "query": {"ids": 75, "images": 493},
            "gallery": {"ids": 75, "images": 7_050},
        },
        terms="research only, by agreement with its authors",
        status="restricted",
        cite="Qian et al., Long-Term Cloth-Changing Person Re-identification, ACCV 2020",
        counted_by="LTCC in forks of guxinqian/Simple-CCReID (data/datasets/ltcc.py)",
    ),
    "cuhk-sysu": DatasetSpec(
        name="cuhk-sysu",
        folders=("cuhk-sysu", "cuhk_sysu", "CUHK-SYSU", "cuhksysu"),
        reader=read_paths,
        paths={"train": r"cropped_images?/p(?P<pid>-?\d+)_s\d+.*"},
        expected={"train": {"ids": 11_934, "images": 34_574}},
        terms="research only, by agreement with its authors",
        status="restricted",
        cite="Xiao et al., Joint Detection and Identification Feature Learning for Person Search, CVPR 2017",
        counted_by="cuhkSYSU in forks of JDAI-CV/fast-reid (fastreid/data/datasets/cuhk_sysu.py)",
    ),
}
