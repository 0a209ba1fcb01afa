"""Tables of boxes, as programs and people write them."""

from __future__ import annotations

from annotation_layouts import BOTH, CUP, Layout

TF = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
T_BOTH = TF + "a.png,100,80,cup,10,10,30,30\na.png,100,80,bus,50,20,90,60\n"
OPEN = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
O_CUP = "a,xclick,/m/02p5f1q,1,0.1,0.3,0.125,0.375,1,0,0,0,0\n"
CLASSES = "/m/02p5f1q,cup\n/m/01bjv,bus\n"
TABLES = [
    Layout("table of tensorflow", {"train_labels.csv": T_BOTH}, BOTH, images=("images/a.png",)),
    Layout("table given", {"t.csv": T_BOTH}, BOTH, given="t.csv"),
    Layout("table of roboflow", {"train/_annotations.csv": T_BOTH}, BOTH, images=("train/a.png",)),
    Layout("table with semicolons", {"t.csv": T_BOTH.replace(",", ";")}, BOTH),
    Layout("table with tabs", {"t.csv": T_BOTH.replace(",", "\t")}, BOTH, encoding="utf-16"),
    Layout(
        "table of other columns",
        {"t.csv": '"image","xmin","ymin","xmax","ymax","label"\n"a.png",10.0,10.0,30.0,30.0,"cup"\n'},
        (CUP,),
    ),
    Layout(
        "table of capitals",
        {"t.csv": "Image Path, Class Name, X Min, Y Min, X Max, Y Max\n/home/me/a.png, cup, 10, 10, 30, 30\n"},
        (CUP,),
    ),
    Layout(
        "table without endings",
        {"t.csv": "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\na,cup,3,R1,10,10,30,30\n"},
        (CUP,),
        images=("train/a.png",),
    ),
    Layout(
        "table of no finding",
        {"t.csv": "image_id,class_name,x_min,y_min,x_max,y_max\nb,cup,10,10,30,30\na,No finding,,,,\n"},
        (),
        frozenset({"No finding"}),
        images=("a.png", "b.png"),
        labels=("cup",),
    ),
    Layout(
        "table of sides",
        {"t.csv": "image,x,y,width,height,label\na.png,10,10,20,20,cup\na.png,50,20,40,40,bus\n"},
        BOTH,
    ),
    Layout(
        "table of centres",
        {"t.csv": "image,x_center,y_center,width,height,label\na.png,20,20,20,20,cup\na.png,70,40,40,40,bus\n"},
        BOTH,
    ),
    Layout(
        "table of boxes in one cell",
        {
            "t.csv": 'image_id,width,height,bbox,label\na.png,100,80,"[10, 10, 20, 20]",cup\n'
            'a.png,100,80,"[50.0, 20.0, 40.0, 40.0]",bus\n'
        },
        BOTH,
    ),
    Layout(
        "table of corners in one cell",
        {
            "t.csv": 'image_id,bbox,label\na.png,"[10, 10, 30, 30]",cup\na.png,"[50, 20, 90, 60]",bus\n'
            'a.png,"[40, 50, 90, 70]",dog\n'
        },
        (*BOTH, ("dog", 40, 50, 90, 70)),
    ),
    Layout(
        "table of unclear cells",
        {"t.csv": 'image_id,bbox,label\na.png,"[10, 10, 30, 30]",cup\n'},
        error="either of both",
    ),
    Layout(
        "table in shares",
        {"t.csv": TF + "a.png,100,80,cup,0.1,0.125,0.3,0.375\na.png,100,80,bus,0.5,0.25,0.9,0.75\n"},
        BOTH,
    ),
    Layout(
        "table of retinanet",
        {
            "annotations.csv": "photos/a.png,10,10,30,30,cup\nphotos/a.png,50,20,90,60,bus\nphotos/b.png,,,,,\n",
            "classes.csv": "cup,0\nbus,1\n",
        },
        BOTH,
        images=("photos/a.png", "photos/b.png"),
    ),
    Layout(
        "table of retinanet, nothing in it",
        {"annotations.csv": "photos/a.png,,,,,\nphotos/b.png,10,10,30,30,cup\n"},
        images=("photos/a.png", "photos/b.png"),
    ),
    Layout(
        "table of makesense", {"labels_2024.csv": "cup,10,10,20,20,a.png,100,80\nbus,50,20,40,40,a.png,100,80\n"}, BOTH
    ),
    Layout(
        "table of makesense, named",
        {
            "labels_2024.csv": "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
            "cup,10,10,20,20,a.png,100,80\n"
        },
        (CUP,),
    ),
    Layout(
        "table of open images",
        {"train-annotations-bbox.csv": OPEN + O_CUP, "class-descriptions-boxable.csv": CLASSES},
        (CUP,),
        complete=False,
        images=("train/a.png",),
    ),
    Layout(
        "table of open images, a group",
        {
            "x.csv": OPEN + O_CUP + "a,xclick,/m/01bjv,1,0.5,0.9,0.25,0.75,0,0,1,0,0\n",
            "class-descriptions.csv": "LabelName,DisplayName\n" + CLASSES,
        },
        (CUP,),
        frozenset({"bus"}),
        complete=False,
    ),
    Layout("table of open images without names", {"x.csv": OPEN + O_CUP}, error="class-descriptions"),
    Layout(
        "table of open images, unknown name",
        {"x.csv": OPEN + O_CUP + "a,xclick,/m/0,1,0.5,0.9,0.25,0.75,0,0,0,0,0\n", "class-descriptions.csv": CLASSES},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "table of numbered classes",
        {"t.csv": "frame,xmin,xmax,ymin,ymax,class_id\na.png,10,30,10,30,1\n"},
        error="numbers",
    ),
    Layout(
        "table without labels",
        {"t.csv": 'image_id,width,height,bbox,source\na.png,100,80,"[10, 10, 20, 20]",x\n'},
        error="label",
    ),
    Layout(
        "table of wrong rows",
        {"t.csv": T_BOTH + "a.png,100,80,dog,30,10,20,30\na.png,100,80,cat,x,1,2,3\na.png,100,80,,1,1,9,9\n"},
        BOTH,
        frozenset({"dog", "cat"}),
        False,
        ("bad_box", "empty_box", "unknown_label_or_image"),
    ),
    Layout(
        "table of a row without an image",
        {"t.csv": T_BOTH + ",100,80,dog,1,1,9,9\n"},
        BOTH,
        frozenset({"dog"}),
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "table of an open quote",
        {"t.csv": T_BOTH + 'a.png,100,80,"dog,1,1,9,9\n'},
        BOTH,
        complete=False,
        refused=("bad_quotes",),
    ),
    Layout("table of another size", {"t.csv": T_BOTH.replace("100,80", "200,160")}, refused=("other_size",)),
    Layout(
        "table of a resized copy without sizes",
        {"t.csv": "image,xmin,ymin,xmax,ymax,label\n" + "".join(f"a.png,{n}0,20,{n + 4}0,120,cup\n" for n in range(8))},
        error="outside",
    ),
    Layout(
        "table in percents",
        {
            "t.csv": "image,xmin,ymin,xmax,ymax,label\n"
            + "".join(f"big.png,{n}.5,2,{n + 4}0,12,cup\n" for n in range(1, 7))
            + "big.png,1,2,3,99,bus\n" * 3
        },
        images=("big.png",),
        size=(400, 300),
        error="percents",
    ),
    Layout(
        "tables of two parts",
        {"train_labels.csv": T_BOTH, "test_labels.csv": TF + "b.png,100,80,cup,10,10,30,30\n"},
        BOTH,
        images=("images/train/a.png", "images/test/b.png"),
    ),
    Layout(
        "table of a part that is not there",
        {"t.csv": "image,xmin,ymin,xmax,ymax,label\ntrain/a.png,10,10,30,30,cup\n"},
        images=("val/a.png",),
        error="none of the 1 image files is there",
    ),
]

CENTRED = "".join(f"a.png,{9 * n + 12},{3 * n + 8},22,14,cup\n" for n in range(9))
TABLES += [
    Layout(
        "table whose x and y are centres",
        {"t.csv": "image,x,y,w,h,label\n" + CENTRED + "a.png,95,75,10,10,bus\n" * 4},
        error="outside",
    ),
    Layout(
        "table of y before x",
        {"t.csv": "image,ymin,xmin,ymax,xmax,label\na.png,20,50,60,90,bus\n"},
        (("bus", 50, 20, 90, 60),),
    ),
    Layout(
        "table of image sizes and points",
        {"t.csv": "filename,width,height,xmin,ymin,label\na.png,100,80,10,10,cup\na.png,100,80,20,30,bus\n"},
        error="outside",
    ),
    Layout(
        "table of sizes and sides",
        {"t.csv": "filename,width,height,x,y,w,h,label\na.png,100,80,10,10,20,20,cup\n"},
        (CUP,),
    ),
    Layout(
        "table of words and numbers of classes",
        {"t.csv": "filename,class_id,class_name,xmin,ymin,xmax,ymax\na.png,3,cup,10,10,30,30\n"},
        (CUP,),
    ),
    Layout(
        "table of pandas",
        {"t.csv": ",filename,class,xmin,ymin,xmax,ymax\n0,a.png,cup,10.0,10.0,30.0,30.0\n1,b.png,,,,,\n"},
        (CUP,),
        images=("a.png", "b.png"),
    ),
    Layout(
        "table of nan",
        {"t.csv": "filename,class,xmin,ymin,xmax,ymax\na.png,cup,10,10,30,30\nb.png,nan,nan,nan,nan,nan\n"},
        images=("b.png", "a.png"),
    ),
    Layout(
        "table with decimal commas",
        {"t.csv": "filename;class;xmin;ymin;xmax;ymax\na.png;cup;10,0;10,0;30,0;30,0\n"},
        (CUP,),
    ),
    Layout(
        "table of quoted labels",
        {"t.csv": T_BOTH + 'a.png,100,80,"cup, broken",1,1,9,9\n'},
        (*BOTH, ("cup, broken", 1, 1, 9, 9)),
    ),
    Layout(
        "table of difficult ones",
        {"t.csv": "filename,class,xmin,ymin,xmax,ymax,difficult\na.png,cup,10,10,30,30,0\na.png,bus,50,20,90,60,1\n"},
        (CUP,),
        frozenset({"bus"}),
    ),
    Layout("table drawn twice", {"t.csv": T_BOTH + T_BOTH.partition("\n")[2]}, BOTH),
    Layout(
        "table in two files",
        {"a.csv": T_BOTH, "b.csv": TF + "a.png,100,80,cup,11,10,30,30\n"},
        (*BOTH, ("cup", 11, 10, 30, 30)),
        frozenset({"cup"}),
    ),
    Layout(
        "table whose row gives another size",
        {"t.csv": T_BOTH + "a.png,50,40,dog,1,1,9,9\n"},
        BOTH,
        frozenset({"dog"}),
        complete=False,
        refused=("other_size",),
    ),
    Layout("table of one pixel more", {"t.csv": T_BOTH.replace("90,60", "101,81")}, (CUP, ("bus", 50, 20, 100, 80))),
    Layout("table without images", {"t.csv": "boxes,label\n1,cup\n"}, error="unknown data format", given="t.csv"),
    Layout(
        "table of image ids that are numbers",
        {"t.csv": "image_id,label,xmin,ymin,xmax,ymax\n7,cup,10,10,30,30\n"},
        (CUP,),
        images=("photos/7.png",),
    ),
    Layout(
        "table in shares beside one in pixels",
        {"a.csv": T_BOTH, "b.csv": TF + "b.png,100,80,cup,0.1,0.125,0.3,0.375\n"},
        BOTH,
        images=("a.png", "b.png"),
    ),
    Layout(
        "table of the same image in shares and pixels",
        {"a.csv": T_BOTH, "b.csv": TF + "a.png,100,80,dog,0.1,0.125,0.3,0.375\n"},
        BOTH,
        frozenset({"dog"}),
        False,
        ("other_size",),
    ),
    Layout(
        "table of shares in a cell",
        {"t.csv": 'image,bbox,label\na.png,"[0.1, 0.125, 0.2, 0.25]",cup\na.png,"[0.5, 0.25, 0.4, 0.5]",bus\n'},
        BOTH,
    ),
    Layout(
        "table of centres in shares",
        {"t.csv": "image,x_center,y_center,width,height,label\na.png,0.2,0.25,0.2,0.25,cup\n"},
        (CUP,),
    ),
    Layout(
        "table of cells that are none",
        {
            "t.csv": 'image,bbox,label\na.png,"[10, 10, 20, 20]",cup\na.png,"[50, 20, 40, 40]",bus\n'
            'a.png,"[1, 2]",dog\na.png,x,cat\n'
        },
        BOTH,
        frozenset({"dog", "cat"}),
        refused=("bad_box", "bad_box"),
    ),
    Layout(
        "table of scores", {"t.csv": "filename,class,score,xmin,ymin,xmax,ymax\na.png,cup,0.91,10,10,30,30\n"}, (CUP,)
    ),
]
