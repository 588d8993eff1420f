#include "storage.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "errors.hpp"
#include "sha256.hpp"

namespace edgedistill {

namespace fs = std::filesystem;

namespace {

constexpr auto kCopyAgain = ". Copy the whole bundle again.";

Bytes opened(const fs::path& file, std::int64_t most) {
  std::error_code problem;
  const std::uintmax_t size = fs::file_size(file, problem);
  if (problem) {
    fail(shown(file) + ": cannot be read (" + problem.message() + ").");
  }
  if (size > static_cast<std::uintmax_t>(most)) {
    fail(shown(file) + ": has more than " + std::to_string(most) + " bytes: refused.");
  }
  Bytes bytes(static_cast<std::size_t>(size));
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream && !bytes.empty()) {
    fail(shown(file) + ": cannot be read.");
  }
  return bytes;
}

}  // namespace

Bytes read_file(const fs::path& root, const std::string& path, std::int64_t most) {
  fs::path file = root;
  std::istringstream parts(path);
  std::error_code problem;
  for (std::string part; std::getline(parts, part, '/');) {
    file /= fs::u8path(part);
    const fs::file_status status = fs::symlink_status(file, problem);
    if (status.type() == fs::file_type::not_found) {
      fail(shown(file) + ": is missing" + kCopyAgain);
    }
    if (status.type() == fs::file_type::none) {
      fail(shown(file) + ": cannot be read (" + problem.message() + ").");
    }
    if (status.type() == fs::file_type::symlink) {
      fail(shown(file) + ": is a link, which may lead out of the bundle: not followed.");
    }
  }
  if (!fs::is_regular_file(fs::symlink_status(file, problem))) {
    fail(shown(file) + ": is not a regular file" + kCopyAgain);
  }
  return opened(file, most);
}

Bytes read_listed(const fs::path& root, const FileEntry& entry) {
  const std::string where = shown(root / fs::u8path(entry.path));
  Bytes bytes = read_file(root, entry.path, entry.bytes);
  if (static_cast<std::int64_t>(bytes.size()) < entry.bytes) {
    fail(where + ": has " + std::to_string(bytes.size()) + " bytes, the manifest says " + std::to_string(entry.bytes) +
         ": truncated" + kCopyAgain);
  }
  if (sha256(bytes.data(), bytes.size()) != entry.sha256) {
    fail(where + ": its SHA-256 differs from the manifest: altered after export, not loaded.");
  }
  return bytes;
}

Bytes read_any(const fs::path& path, std::int64_t most, const std::string& what) {
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (status.type() == fs::file_type::not_found) {
    fail(shown(path) + ": no such " + what + ".");
  }
  if (!fs::is_regular_file(status)) {
    fail(shown(path) + ": is not a regular file.");
  }
  return opened(path, most);
}

}  // namespace edgedistill
