// A bundle's folder: bytes that are what the manifest lists, or an Error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "manifest.hpp"

namespace edgedistill {

using Bytes = std::vector<std::uint8_t>;

// A regular file that is reached through no link; throws Error where it has more than `most` bytes.
Bytes read_file(const std::filesystem::path& root, const std::string& path, std::int64_t most);

// A listed file: its size and its SHA-256 are compared before any of it is used.
Bytes read_listed(const std::filesystem::path& root, const FileEntry& entry);

// A file of the app's own, e.g. an image: links are followed.
Bytes read_any(const std::filesystem::path& path, std::int64_t most, const std::string& what);

}  // namespace edgedistill
