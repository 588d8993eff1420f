// Typed reading of JSON: what is not as it should be is named by its place.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "errors.hpp"

namespace edgedistill {

class Node {
 public:
  Node(const nlohmann::json& value, std::string place) : value_(value), place_(std::move(place)) {}

  const std::string& place() const { return place_; }

  // An object's member; an absent one is an error.
  Node at(const std::string& key) const {
    const std::optional<Node> found = find(key);
    if (!found) {
      wrong("lacks `" + key + "`");
    }
    return *found;
  }

  std::optional<Node> find(const std::string& key) const {
    if (!value_.is_object()) {
      wrong("needs an object");
    }
    const auto found = value_.find(key);
    return found == value_.end() ? std::nullopt : std::optional<Node>(Node(*found, place_ + "." + key));
  }

  // The same where null stands for absent.
  std::optional<Node> given(const std::string& key) const {
    std::optional<Node> found = find(key);
    return found && found->value_.is_null() ? std::nullopt : found;
  }

  std::vector<Node> items() const {
    if (!value_.is_array()) {
      wrong("needs a list");
    }
    std::vector<Node> nodes;
    nodes.reserve(value_.size());
    for (std::size_t i = 0; i < value_.size(); ++i) {
      nodes.emplace_back(value_[i], place_ + "[" + std::to_string(i) + "]");
    }
    return nodes;
  }

  bool is_text() const { return value_.is_string(); }

  const std::string& text() const {
    if (!value_.is_string()) {
      wrong("needs text");
    }
    return value_.get_ref<const std::string&>();
  }

  double number() const {
    if (!value_.is_number()) {
      wrong("needs a number");
    }
    return value_.get<double>();
  }

  std::int64_t integer(std::int64_t least, std::int64_t most) const {
    const bool fits_in = value_.is_number_unsigned() ? value_.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                                                     : value_.is_number_integer() && value_.get<std::int64_t>() <= most;
    if (!value_.is_number_integer()) {
      wrong("needs a whole number");
    }
    if (!fits_in || (!value_.is_number_unsigned() && value_.get<std::int64_t>() < least) ||
        (value_.is_number_unsigned() && least > 0 && value_.get<std::uint64_t>() < std::uint64_t(least))) {
      wrong("is " + value_.dump() + ": needs " + std::to_string(least) + " to " + std::to_string(most));
    }
    return value_.get<std::int64_t>();
  }

  std::string text_or(const std::string& key, const std::string& otherwise) const {
    const std::optional<Node> found = find(key);
    return found ? found->text() : otherwise;
  }

  [[noreturn]] void wrong(const std::string& what) const { fail("`" + place_ + "` " + what); }

 private:
  const nlohmann::json& value_;
  std::string place_;
};

}  // namespace edgedistill
