// What goes wrong below the library leaves it as one Error of one line.
#pragma once

#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <utility>

#include "edgedistill/edgedistill.hpp"

namespace edgedistill {

// The number of bytes of the UTF-8 character that begins there; 0 where they are none.
std::size_t character(const std::string& text, std::size_t place);

// The text in one line that any terminal can print, no longer than a person reads: line ends become spaces, control
// characters and bytes that are no text escapes.
std::string one_line(const std::string& text);

// A path as UTF-8, whatever the system's own encoding.
std::string shown(const std::filesystem::path& path);

// So many significant digits, with a point whatever the program's locale has.
std::string number(double value, int digits);

[[noreturn]] void fail(const std::string& text);

// Runs `work`; whatever it throws becomes an Error.
template <typename Work>
auto guarded(const std::string& what, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail(what + ": needs more memory than there is");
  } catch (const std::exception& error) {
    fail(what + ": " + error.what());
  } catch (...) {
    fail(what + ": failed without a reason");
  }
}

// The same of a file or folder; `work` takes its name.
template <typename Work>
auto guarded_path(const std::filesystem::path& path, Work&& work) {
  return guarded("a path", [&] {
    const std::string name = shown(path);
    return guarded(name, [&] { return std::forward<Work>(work)(name); });
  });
}

}  // namespace edgedistill
