"""From a file's bytes to the crop of one cell: decoding, the white cell, the physical scale, the window that is cut
out.

Knows nothing of data sets, runs or models: what a data set asks of its crops comes as a `core.images.crop.CropSpec`.
"""
