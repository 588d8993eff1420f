#include "manifest.hpp"

#include <clocale>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

#include "json_node.hpp"
#include "manifest_check.hpp"

namespace edgedistill {

namespace {

constexpr std::int64_t kSchemaVersion = 1;
constexpr std::int64_t kLargestSide = 16'384, kLargestFile = std::int64_t{64} << 30, kLargestBatch = 65'536;
constexpr std::int64_t kMostThreads = 1024, kLargestInteger = std::int64_t{1} << 53;

// Numbers with a point, in this thread, as long as it lives: the JSON library takes a locale's comma to be one byte.
class PlainNumbers {
 public:
#if !defined(_WIN32)
  PlainNumbers() : plain_(newlocale(LC_ALL_MASK, "C", nullptr)), before_(uselocale(plain_)) {}
  ~PlainNumbers() {
    uselocale(before_);
    if (plain_ != nullptr) {
      freelocale(plain_);
    }
  }
  PlainNumbers(const PlainNumbers&) = delete;
  PlainNumbers& operator=(const PlainNumbers&) = delete;

 private:
  locale_t plain_, before_;
#endif
};

// One of two words that an older reader cannot guess the meaning of.
bool is_second(const Node& node, const std::string& first, const std::string& second) {
  const std::string& word = node.text();
  if (word != first && word != second) {
    node.wrong("is \"" + word + "\", which this library does not know: use a newer one");
  }
  return word == second;
}

std::vector<double> numbers(const Node& node) {
  std::vector<double> values;
  for (const Node& item : node.items()) {
    values.push_back(item.number());
  }
  return values;
}

std::array<float, 3> channels(const Node& node) {
  const std::vector<double> values = numbers(node);
  if (values.size() != 3) {
    node.wrong("needs three numbers");
  }
  std::array<float, 3> found{};
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i] = static_cast<float>(values[i]);
  }
  return found;
}

FileEntry file_entry(const Node& node) {
  return {node.at("path").text(), node.at("sha256").text(), node.at("bytes").integer(0, kLargestFile)};
}

std::vector<FileEntry> file_entries(const Node& node) {
  std::vector<FileEntry> files;
  for (const Node& item : node.items()) {
    files.push_back(file_entry(item));
  }
  return files;
}

TensorSpec tensor(const Node& node) {
  TensorSpec spec{node.at("name").text(), node.at("dtype").text(), {}};
  for (const Node& size : node.at("shape").items()) {
    spec.shape.push_back(size.is_text() ? kAnySize : size.integer(1, kLargestInteger));
  }
  return spec;
}

Preprocessing preprocessing(const Node& node) {
  Preprocessing found;
  const std::vector<Node> size = node.at("size").items();
  if (size.size() != 2) {
    node.at("size").wrong("needs a height and a width");
  }
  found.height = static_cast<int>(size[0].integer(1, kLargestSide));
  found.width = static_cast<int>(size[1].integer(1, kLargestSide));
  if (const auto resize = node.find("resize")) {
    found.center_crop = is_second(*resize, "squash", "center_crop");
  }
  if (const auto interpolation = node.find("interpolation")) {
    found.bicubic = is_second(*interpolation, "bilinear", "bicubic");
  }
  if (const auto mean = node.find("mean")) {
    found.mean = channels(*mean);
  }
  if (const auto std = node.find("std")) {
    found.std_dev = channels(*std);
  }
  return found;
}

Artifact artifact(const Node& node) {
  Artifact found;
  const Node target = node.at("target");
  found.name = node.at("name").text();
  found.backend = target.at("backend").text();
  found.precision = target.at("precision").text();
  found.device = target.text_or("device", found.device);
  found.status = node.at("status").text();
  found.reason = node.text_or("reason", "");
  found.files = file_entries(node.at("files"));
  if (const auto threads = target.given("threads")) {
    found.threads = static_cast<int>(threads->integer(1, kMostThreads));
  }
  if (const auto batch = target.find("batch")) {
    const auto size = [&](const std::string& key, int otherwise) {
      const auto given = batch->find(key);
      return given ? static_cast<int>(given->integer(1, kLargestBatch)) : otherwise;
    };
    found.batch_min = size("min", found.batch_min);
    found.batch_max = size("max", found.batch_max);
    const int typical = size("typical", 1);
    if (found.batch_min > typical || typical > found.batch_max) {
      batch->wrong("needs min <= typical <= max");
    }
  }
  if (const auto gates = target.find("gates")) {
    found.is_gated = gates->given("max_map_drop").has_value();
  }
  if (const auto parity = node.given("parity")) {
    found.parity = Parity{parity->at("max_abs_logit").number(), {}};
    if (const auto golden = parity->given("golden_mean_abs_logit")) {
      found.parity->golden_mean = golden->number();
    }
  }
  if (const auto point = node.given("operating_point")) {
    found.operating_point = OperatingPoint{numbers(point->at("thresholds")), point->at("temperature").number()};
  }
  return found;
}

Manifest decoded(const Node& root) {
  Manifest found;
  found.name = root.at("name").text();
  for (const Node& name : root.at("classes").items()) {
    found.classes.push_back(name.text());
  }
  found.preprocessing = preprocessing(root.at("preprocessing"));
  found.is_float_nchw = is_second(root.at("input"), "uint8_nhwc", "float32_nchw");
  const std::vector<Node> inputs = root.at("inputs").items();
  if (inputs.size() != 1) {
    root.at("inputs").wrong("needs one tensor: an image classifier takes one");
  }
  found.input = tensor(inputs.front());
  for (const Node& output : root.at("outputs").items()) {
    found.outputs.push_back(tensor(output));
  }
  found.thresholds = numbers(root.at("thresholds"));
  for (const Node& one : root.at("artifacts").items()) {
    found.artifacts.push_back(artifact(one));
  }
  if (const auto photographs = root.find("selftest")) {
    for (const Node& one : photographs->items()) {
      found.selftest.push_back({file_entry(one.at("file")), numbers(one.at("logits"))});
    }
  }
  return found;
}

}  // namespace

Manifest read_manifest(const std::vector<std::uint8_t>& json, const std::string& where) {
  constexpr auto way_out = ". Copy the whole bundle again, or export it again.";
  nlohmann::json parsed;
  try {
    [[maybe_unused]] const PlainNumbers meanwhile{};
    parsed = nlohmann::json::parse(json.begin(), json.end());
  } catch (const nlohmann::json::exception& error) {
    fail(where + ": damaged or not a manifest (" + error.what() + ")" + way_out);
  }
  try {
    const Node root(parsed, "manifest");
    const std::int64_t version = root.at("schema_version").integer(1, kLargestInteger);
    if (version > kSchemaVersion) {
      fail("schema " + std::to_string(version) + " is newer than this library reads (" +
           std::to_string(kSchemaVersion) + "): make this folder again with a newer edgedistill");
    }
    Manifest manifest = decoded(root);
    check_manifest(manifest);
    return manifest;
  } catch (const Error& error) {
    fail(where + ": " + error.what() + way_out);
  }
}

}  // namespace edgedistill
