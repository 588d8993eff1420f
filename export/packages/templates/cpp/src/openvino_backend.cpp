// OpenVINO. The precision is pinned: left alone it computes in bf16 where the processor can, which is no fp32.
#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <openvino/core/model.hpp>
#include <openvino/openvino.hpp>
#include <set>

#include "backend.hpp"
#include "errors.hpp"

namespace edgedistill {

namespace {

std::string word(const ov::element::Type& type) {
  static const std::map<ov::element::Type, std::string> kWords = {
      {ov::element::f32, "float32"}, {ov::element::u8, "uint8"}, {ov::element::f16, "float16"}};
  const auto found = kWords.find(type);
  return found == kWords.end() ? type.to_string() : found->second;
}

TensorSpec spec(const ov::Output<const ov::Node>& port) {
  TensorSpec found{port.get_names().empty() ? "?" : port.get_any_name(), word(port.get_element_type()), {}};
  for (const ov::Dimension& size : port.get_partial_shape()) {
    found.shape.push_back(size.is_dynamic() ? kAnySize : size.get_length());
  }
  return found;
}

// "GPU.1" of "gpu.1", if it is there.
std::string find_device(const ov::Core& core, std::string device) {
  std::transform(device.begin(), device.end(), device.begin(), [](unsigned char c) { return std::toupper(c); });
  const std::vector<std::string> known = core.get_available_devices();
  const auto is_it = [&](const std::string& name) {
    return name == device || name.substr(0, name.find('.')) == device;
  };
  if (std::none_of(known.begin(), known.end(), is_it)) {
    fail("openvino finds no device " + device + " here: install its driver, or ask for `cpu`");
  }
  return device;
}

class OpenVino : public Backend {
 public:
  explicit OpenVino(const Model& model) {
    if (model.files.size() != 2) {
      fail("an OpenVINO model is an .xml and its .bin");
    }
    ov::Tensor weights(ov::element::u8, {model.files[1].size()});
    if (!model.files[1].empty()) {
      std::memcpy(weights.data(), model.files[1].data(), model.files[1].size());
    }
    const std::string xml(model.files[0].begin(), model.files[0].end());
    const std::shared_ptr<ov::Model> network = core_.read_model(xml, weights);
    const std::string device = find_device(core_, model.device);
    const std::string& precision = model.artifact.precision;
    ov::element::Type asked = precision == "fp16"   ? ov::element::f16
                              : precision == "bf16" ? ov::element::bf16
                                                    : ov::element::f32;
    compile(network, device, asked, model.threads);
    // Where a device would take the coarser bf16 for float16, float32 is computed.
    if (asked == ov::element::f16 && executed() == "bf16") {
      asked = ov::element::f32;
      compile(network, device, asked, model.threads);
    }
    const bool is_int8 = executed() == "i8" || executed() == "u8";
    if (asked == ov::element::f32 && !is_int8 && hint() != ov::element::f32) {
      fail("openvino computes in another precision on " + device + " although float32 was asked for");
    }
    request_ = compiled_.create_infer_request();
  }

  std::vector<TensorSpec> inputs() const override { return specs(compiled_.inputs()); }
  std::vector<TensorSpec> outputs() const override { return specs(compiled_.outputs()); }

  Outputs run(const Batch& batch) override {
    const ov::Shape shape(batch.shape.begin(), batch.shape.end());
    ov::Tensor input(compiled_.input().get_element_type(), shape);
    if (input.get_byte_size() != batch.bytes) {
      fail("the graph takes " + std::to_string(input.get_byte_size()) + " bytes, not " + std::to_string(batch.bytes));
    }
    std::memcpy(input.data(), batch.values, batch.bytes);
    request_.set_input_tensor(input);
    request_.infer();
    return {values("logits"), values("probabilities")};
  }

 private:
  void compile(const std::shared_ptr<ov::Model>& network, const std::string& device, ov::element::Type precision,
               int threads) {
    ov::AnyMap options = {ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                          ov::hint::inference_precision(precision)};
    if (threads > 0) {
      options.insert(ov::inference_num_threads(threads));
    }
    compiled_ = core_.compile_model(network, device, options);
  }

  ov::element::Type hint() const { return compiled_.get_property(ov::hint::inference_precision); }

  // The precision of most of the heavy layers in the graph that is executed; the property where it shows none.
  std::string executed() const {
    static const std::set<std::string> kHeavy = {"Convolution",    "GroupConvolution", "Deconvolution",
                                                 "FullyConnected", "MatMul",           "Gemm"};
    std::map<std::string, int> found;
    for (const std::shared_ptr<ov::Node>& layer : compiled_.get_runtime_model()->get_ordered_ops()) {
      const ov::RTMap& facts = layer->get_rt_info();
      const auto kind = facts.find("layerType"), precision = facts.find("runtimePrecision");
      if (kind != facts.end() && precision != facts.end() && kHeavy.count(kind->second.as<std::string>()) > 0) {
        ++found[precision->second.as<std::string>()];
      }
    }
    const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto most = std::max_element(found.begin(), found.end(), fewer);
    return most == found.end() ? hint().to_string() : most->first;
  }

  static std::vector<TensorSpec> specs(const std::vector<ov::Output<const ov::Node>>& ports) {
    std::vector<TensorSpec> found;
    std::transform(ports.begin(), ports.end(), std::back_inserter(found), spec);
    return found;
  }

  std::vector<float> values(const std::string& name) {
    const ov::Tensor tensor = request_.get_tensor(name);
    const float* first = tensor.data<const float>();
    return {first, first + tensor.get_size()};
  }

  ov::Core core_;
  ov::CompiledModel compiled_;
  ov::InferRequest request_;
};

}  // namespace

std::unique_ptr<Backend> load_openvino(const Model& model) { return std::make_unique<OpenVino>(model); }

}  // namespace edgedistill
