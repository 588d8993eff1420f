#pragma once

#include <filesystem>
#include <memory>

#include "backend.hpp"
#include "edgedistill/edgedistill.hpp"

namespace edgedistill {

// A bundle's manifest, checked.
Manifest open_manifest(const std::filesystem::path& bundle);

// The artifacts that match what is asked for, the one to be tried first first.
std::vector<Artifact> ranked(const Manifest& manifest, const Options& options, const std::filesystem::path& bundle);

// The artifact in its backend, with the graph that the manifest promises; throws Error with the reason alone.
std::unique_ptr<Backend> load(const std::filesystem::path& bundle, const Manifest& manifest, const Artifact& artifact,
                              const Options& options);

}  // namespace edgedistill
