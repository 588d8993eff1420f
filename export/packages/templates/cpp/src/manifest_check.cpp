#include "manifest_check.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "errors.hpp"

namespace edgedistill {

namespace {

constexpr std::size_t kMostClasses = 1'000'000, kLongestPart = 255;
constexpr double kLeastTemperature = 0.01, kLargestTemperature = 100;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return text;
}

// Names that Windows keeps for devices, with any suffix.
bool is_device(const std::string& part) {
  std::string stem = lower(part.substr(0, part.find('.')));
  stem.erase(stem.find_last_not_of(' ') + 1);
  static const std::set<std::string> kNames = {"con", "prn", "aux", "nul", "conin$", "conout$"};
  const bool is_port = stem.rfind("com", 0) == 0 || stem.rfind("lpt", 0) == 0;
  const std::string number = is_port ? stem.substr(3) : "";
  const bool is_digit = number.size() == 1 && number[0] >= '0' && number[0] <= '9';
  const bool is_raised = number == "\xc2\xb9" || number == "\xc2\xb2" || number == "\xc2\xb3";
  return kNames.count(stem) > 0 || is_digit || is_raised;
}

bool is_possible(const std::string& part) {
  const auto is_refused = [](unsigned char c) {
    return c < 0x20 || c == 0x7f || std::string("<>:\"|?*\\").find(char(c)) != std::string::npos;
  };
  return !part.empty() && part != "." && part != ".." && part.back() != '.' && part.back() != ' ' &&
         part.size() <= kLongestPart && std::none_of(part.begin(), part.end(), is_refused) && one_line(part) == part &&
         !is_device(part);
}

void check_path(const std::string& path) {
  std::size_t start = 0;
  for (bool more = true; more;) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (!is_possible(path.substr(start, end - start))) {
      fail("the file path \"" + path + "\" leads out of the bundle, or is not possible on every system: refused");
    }
    more = end < path.size();
    start = end + 1;
  }
  const std::string known = lower(path);
  if (known == "manifest.json" || known == "signature.json" || known.substr(0, known.find('/')) == "results") {
    fail(path + ": may not be listed: the manifest, its signature and the results are no files of it");
  }
}

void check_files(const Manifest& manifest) {
  std::map<std::string, FileEntry> known;
  const auto check = [&](const FileEntry& file) {
    check_path(file.path);
    const bool is_hash =
        file.sha256.size() == 64 && file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!is_hash) {
      fail(file.path + ": its sha256 is not 64 hexadecimal digits");
    }
    const FileEntry& first = known.emplace(lower(file.path), file).first->second;
    if (first.path != file.path || first.sha256 != file.sha256 || first.bytes != file.bytes) {
      fail(file.path + ": is listed twice, with different contents");
    }
  };
  for (const Artifact& artifact : manifest.artifacts) {
    std::for_each(artifact.files.begin(), artifact.files.end(), check);
  }
  for (const GoldenImage& golden : manifest.selftest) {
    check(golden.file);
  }
}

void check_thresholds(const std::vector<double>& thresholds, std::size_t classes, const std::string& of) {
  if (thresholds.size() != classes) {
    fail(of + std::to_string(thresholds.size()) + " thresholds for " + std::to_string(classes) + " classes");
  }
  for (const double threshold : thresholds) {
    if (!(threshold >= 0 && threshold <= 1)) {
      fail(of + "a threshold is not within 0 and 1");
    }
  }
}

void check_classes(const std::vector<std::string>& classes) {
  if (classes.empty() || classes.size() > kMostClasses) {
    fail("`classes` holds " + std::to_string(classes.size()) + " names");
  }
  std::set<std::string> known;
  for (const std::string& name : classes) {
    if (name.find_first_not_of(' ') == std::string::npos || one_line(name) != name) {
      fail("`classes` holds an empty name, or one with control characters: \"" + name + "\"");
    }
    if (!known.insert(name).second) {
      fail("`classes` holds \"" + name + "\" twice");
    }
  }
}

void check_graph(const Manifest& manifest) {
  const std::int64_t height = manifest.preprocessing.height, width = manifest.preprocessing.width;
  const TensorSpec wanted = manifest.is_float_nchw
                                ? TensorSpec{manifest.input.name, "float32", {kAnySize, 3, height, width}}
                                : TensorSpec{manifest.input.name, "uint8", {kAnySize, height, width, 3}};
  if (manifest.input.name.empty() || !fits(manifest.input, wanted)) {
    fail("`inputs` says " + described(manifest.input) + ", but `input` and `size` say " + described(wanted));
  }
  for (const std::string name : {"logits", "probabilities"}) {
    const auto is_it = [&](const TensorSpec& spec) { return spec.name == name; };
    const TensorSpec output{name, "float32", {kAnySize, static_cast<std::int64_t>(manifest.classes.size())}};
    if (std::count_if(manifest.outputs.begin(), manifest.outputs.end(), is_it) != 1) {
      fail("`outputs` needs `" + name + "`, once");
    }
    if (!fits(*std::find_if(manifest.outputs.begin(), manifest.outputs.end(), is_it), output)) {
      fail("`outputs` has another `" + name + "` than " + described(output));
    }
  }
}

void check_artifact(const Artifact& artifact, std::size_t classes) {
  const std::string of = "the artifact " + artifact.name + ": ";
  if ((artifact.status == "verified" || artifact.status == "built_not_run") && artifact.files.empty()) {
    fail(of + "is " + artifact.status + " and has no file");
  }
  if (artifact.parity && !(artifact.parity->largest >= 0)) {
    fail(of + "its parity is no number");
  }
  if (const auto& point = artifact.operating_point) {
    check_thresholds(point->thresholds, classes, of);
    if (!(point->temperature >= kLeastTemperature && point->temperature <= kLargestTemperature)) {
      fail(of + "its temperature is not within 0.01 and 100");
    }
  }
}

}  // namespace

bool fits(const TensorSpec& own, const TensorSpec& listed) {
  const auto same = [](std::int64_t a, std::int64_t b) { return a == kAnySize || b == kAnySize || a == b; };
  return own.dtype == listed.dtype && own.shape.size() == listed.shape.size() &&
         std::equal(own.shape.begin(), own.shape.end(), listed.shape.begin(), same);
}

std::string described(const TensorSpec& spec) {
  std::string text = spec.name + ": " + spec.dtype + " (";
  for (std::size_t i = 0; i < spec.shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + (spec.shape[i] == kAnySize ? "?" : std::to_string(spec.shape[i]));
  }
  return text + ")";
}

void check_manifest(const Manifest& manifest) {
  if (one_line(manifest.name) != manifest.name) {
    fail("`name` holds line ends or control characters");
  }
  check_classes(manifest.classes);
  check_thresholds(manifest.thresholds, manifest.classes.size(), "");
  for (const float value : manifest.preprocessing.mean) {
    if (!std::isfinite(value)) {
      fail("`preprocessing.mean` needs numbers");
    }
  }
  for (const float value : manifest.preprocessing.std_dev) {
    if (!(value > 0) || !std::isfinite(value)) {
      fail("`preprocessing.std` needs numbers above 0");
    }
  }
  check_graph(manifest);
  std::set<std::string> names;
  for (const Artifact& artifact : manifest.artifacts) {
    if (artifact.name.empty() || one_line(artifact.name) != artifact.name || !names.insert(artifact.name).second) {
      fail("the artifact name \"" + artifact.name + "\" is empty, there twice or no line of text");
    }
    check_artifact(artifact, manifest.classes.size());
  }
  for (const GoldenImage& golden : manifest.selftest) {
    const bool is_finite =
        std::all_of(golden.logits.begin(), golden.logits.end(), [](double x) { return std::isfinite(x); });
    if (golden.logits.size() != manifest.classes.size() || !is_finite) {
      fail(golden.file.path + ": needs a finite golden logit for each class");
    }
  }
  check_files(manifest);
}

}  // namespace edgedistill
