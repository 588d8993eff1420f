#include "errors.hpp"

#include <cstdio>
#include <iomanip>
#include <locale>
#include <sstream>

namespace edgedistill {

namespace {
constexpr std::size_t kLongest = 1500, kHead = 1000;

// Whether a byte is a character's second or later one.
bool is_inside(char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U; }

// ASCII's controls, those of Latin-1, and Unicode's ends of lines and paragraphs.
bool is_control(const std::string& one) {
  const unsigned char first = static_cast<unsigned char>(one.front());
  const bool is_latin = one.size() == 2 && first == 0xc2 && static_cast<unsigned char>(one[1]) < 0xa0;
  return first < 0x20 || first == 0x7f || is_latin || one == "\xe2\x80\xa8" || one == "\xe2\x80\xa9";
}

}  // namespace

// The number of bytes of the UTF-8 character that begins there; 0 where they are none.
std::size_t character(const std::string& text, std::size_t place) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(place);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xc2 && first < 0xe0 ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(place + i) & 0xc0U) != 0x80U) {
      return 0;
    }
  }
  const unsigned second = byte(place + 1);
  const bool is_refused = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
                          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
  return is_refused ? 0 : length;
}

std::string one_line(const std::string& text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character(text, i);
    const std::string one = text.substr(i, length == 0 ? 1 : length);
    if (one == "\n" || one == "\r" || one == "\t") {
      line += ' ';
    } else if (length == 0 || is_control(one)) {
      for (const char byte : one) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        line += escaped;
      }
    } else {
      line += one;
    }
    i += one.size();
  }
  if (line.size() <= kLongest) {
    return line;
  }
  std::size_t head = kHead, tail = line.size() - (kLongest - kHead);
  while (is_inside(line[head])) {
    --head;
  }
  while (is_inside(line[tail])) {
    ++tail;
  }
  return line.substr(0, head) + " ... " + line.substr(tail);
}

std::string shown(const std::filesystem::path& path) {
  const auto text = path.u8string();  // of another type from C++20 on
  return std::string(text.begin(), text.end());
}

std::string number(double value, int digits) {
  std::ostringstream stream;
  stream.imbue(std::locale::classic());
  stream.exceptions(std::ios::badbit);  // else what has no memory is left out
  stream << std::setprecision(digits) << value;
  return stream.str();
}

void fail(const std::string& text) { throw Error(one_line(text)); }

}  // namespace edgedistill
