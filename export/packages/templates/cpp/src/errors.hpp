// What goes wrong below the library leaves it as one Error of one line.
#pragma once

#include <exception>
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

}  // namespace edgedistill
