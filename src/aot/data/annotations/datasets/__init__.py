"""Formats that detection datasets are published in: COCO, YOLO, Pascal VOC, tables of boxes. Builds on
`data/annotations/base`."""
