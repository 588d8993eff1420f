#include <cstdio>

#include "errors.hpp"

namespace edgedistill {

namespace {

// A JSON string; bytes of a file's name that are no text are told as \xff.
std::string quoted(const std::string& text) {
  std::string made = "\"";
  char escaped[8];
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char first = static_cast<unsigned char>(text[i]);
    const std::size_t length = character(text, i);
    if (length == 0) {
      std::snprintf(escaped, sizeof escaped, "\\\\x%02x", static_cast<unsigned>(first));
      made += escaped;
    } else if (first < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(first));
      made += escaped;
    } else {
      made += first == '"' || first == '\\' ? "\\" : "";
      made += text.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return made + "\"";
}

std::string listed(const std::vector<Label>& labels) {
  std::string made = "{";
  for (const Label& label : labels) {
    made += (made.size() > 1 ? "," : "") + quoted(label.name) + ":" + number(label.probability, 9);
  }
  return made + "}";
}

}  // namespace

std::string to_json(const Prediction& prediction, const std::string& image) {
  return guarded(image, [&] {
    const std::string top = prediction.labels.empty() ? ",\"top\":" + listed(prediction.top) : "";
    return "{\"image\":" + quoted(image) + ",\"labels\":" + listed(prediction.labels) + top + "}";
  });
}

}  // namespace edgedistill
