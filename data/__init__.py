"""TensorFlow Datasets builders and the pipeline that reads them."""
