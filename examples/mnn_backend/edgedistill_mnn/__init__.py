"""MNN (https://github.com/alibaba/MNN) as a backend of edgedistill."""
