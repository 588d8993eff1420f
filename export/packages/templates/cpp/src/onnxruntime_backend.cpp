// ONNX Runtime, on the CPU: .onnx files, and .ort files as its mobile builds take them.
#include <onnxruntime_cxx_api.h>

#include "backend.hpp"
#include "errors.hpp"

namespace edgedistill {

namespace {

std::string word(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      return "float32";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return "uint8";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return "float16";
    default:
      return "type " + std::to_string(type);
  }
}

TensorSpec spec(const std::string& name, const Ort::TypeInfo& info) {
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  TensorSpec found{name, word(tensor.GetElementType()), tensor.GetShape()};
  for (std::int64_t& size : found.shape) {
    size = size < 1 ? kAnySize : size;
  }
  return found;
}

class OnnxRuntime : public Backend {
 public:
  explicit OnnxRuntime(const Model& model) : is_float_(model.manifest.is_float_nchw) {
    if (model.device != "cpu") {
      fail("the device `" + model.device + "` is not one of this library's: it runs onnxruntime on `cpu`");
    }
    if (model.files.size() != 1) {
      fail("weights in further files are not read");
    }
    Ort::SessionOptions options;
    if (model.threads > 0) {
      options.SetIntraOpNumThreads(model.threads);
    }
    environment_ = Ort::Env(ORT_LOGGING_LEVEL_FATAL, "edgedistill");
    session_ = Ort::Session(environment_, model.files[0].data(), model.files[0].size(), options);
    input_ = model.manifest.input.name;
  }

  std::vector<TensorSpec> inputs() const override {
    std::vector<TensorSpec> found;
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i) {
      found.push_back(spec(session_.GetInputNameAllocated(i, allocator_).get(), session_.GetInputTypeInfo(i)));
    }
    return found;
  }

  std::vector<TensorSpec> outputs() const override {
    std::vector<TensorSpec> found;
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
      found.push_back(spec(session_.GetOutputNameAllocated(i, allocator_).get(), session_.GetOutputTypeInfo(i)));
    }
    return found;
  }

  Outputs run(const Batch& batch) override {
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::Value input = Ort::Value::CreateTensor(
        memory, const_cast<void*>(batch.values), batch.bytes, batch.shape.data(), batch.shape.size(),
        is_float_ ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    const char* const given[] = {input_.c_str()};
    const char* const wanted[] = {"logits", "probabilities"};
    const std::vector<Ort::Value> outputs = session_.Run(Ort::RunOptions{nullptr}, given, &input, 1, wanted, 2);
    return {values(outputs[0]), values(outputs[1])};
  }

 private:
  static std::vector<float> values(const Ort::Value& tensor) {
    const float* first = tensor.GetTensorData<float>();
    return {first, first + tensor.GetTensorTypeAndShapeInfo().GetElementCount()};
  }

  Ort::Env environment_{nullptr};
  Ort::Session session_{nullptr};
  mutable Ort::AllocatorWithDefaultOptions allocator_;
  std::string input_;
  bool is_float_;
};

}  // namespace

std::unique_ptr<Backend> load_onnxruntime(const Model& model) {
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr) {
    fail(std::string("the library is onnxruntime ") + OrtGetApiBase()->GetVersionString() +
         ", older than the headers that this was built with");
  }
  return std::make_unique<OnnxRuntime>(model);
}

}  // namespace edgedistill
