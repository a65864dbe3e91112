"""The formats of labels that are brought along: those that are read, and those of whole images that are written alone."""

from brain_assets.resources.label_formats.cityscapes import Cityscapes
from brain_assets.resources.label_formats.coco import Coco
from brain_assets.resources.label_formats.createml import CreateMl
from brain_assets.resources.label_formats.cvat import Cvat
from brain_assets.resources.label_formats.door import LabelFormat
from brain_assets.resources.label_formats.dota import Dota
from brain_assets.resources.label_formats.fiftyone import FiftyOne
from brain_assets.resources.label_formats.fiftyone_dataset import FiftyOneDataset
from brain_assets.resources.label_formats.kitti import Kitti
from brain_assets.resources.label_formats.labelled import Writer
from brain_assets.resources.label_formats.labelme import LabelMe
from brain_assets.resources.label_formats.labelstudio import LabelStudio
from brain_assets.resources.label_formats.lists import Lists
from brain_assets.resources.label_formats.numbered_lists import NumberedLists
from brain_assets.resources.label_formats.supervisely import Supervisely
from brain_assets.resources.label_formats.via import Via
from brain_assets.resources.label_formats.voc import Voc
from brain_assets.resources.label_formats.webdataset import WebDataset
from brain_assets.resources.label_formats.widerface import WiderFace
from brain_assets.resources.label_formats.written import ClassFolders, CsvTables, HuggingFace, ParquetTables
from brain_assets.resources.label_formats.yolo import Yolo
from brain_assets.resources.label_formats.yolo_classes import YoloClasses

# Those first that know their own texts for sure.
READ: tuple[LabelFormat, ...] = (
    Coco(), Voc(), Kitti(), Dota(), NumberedLists(), WiderFace(), Lists(), YoloClasses(), Yolo(), Cvat(), LabelMe(),
    LabelStudio(), Via(), Supervisely(), Cityscapes(), FiftyOne(), FiftyOneDataset(), WebDataset(), CreateMl(),
)  # fmt: skip
WRITTEN: tuple[Writer, ...] = (CsvTables(), ParquetTables(), ClassFolders(), HuggingFace())
