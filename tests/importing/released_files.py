"""Names of the real .tflite files, below the shared data's `data/weights`."""

DEEPLAB_FLOAT = "deeplabv3_257_mv_gpu.tflite"
DEEPLAB = "deeplabv3_mnv2_pascal_quant.tflite"
DEEPLAB_HALF = "deeplabv3_mnv2_dm05_pascal_quant.tflite"
CLASSIFIER = "mobilenet_v2_1.0_224_quant.tflite"
SSDLITE = "ssdlite_mobilenet_v2_coco_0.5_200x200.tflite"
