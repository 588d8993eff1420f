// predict BUNDLE IMAGE... [--artifact NAME] [--backend NAME] [--threads N]: a line of JSON per image.
// predict BUNDLE --selftest: the bundle's own photographs against the training framework's outputs.
#include <cstdlib>
#include <iostream>

#include "edgedistill/edgedistill.hpp"

namespace {

int run(int count, char** arguments) {
  edgedistill::Options options;
  std::vector<std::string> given;
  bool is_test = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    if (word == "--selftest") {
      is_test = true;
    } else if (word.rfind("--", 0) == 0 && i + 1 < count) {
      const std::string value = arguments[++i];
      if (word == "--artifact") {
        options.artifact = value;
      } else if (word == "--backend") {
        options.backend = value;
      } else if (word == "--threads") {
        options.threads = std::atoi(value.c_str());
        if (options.threads < 1) {
          throw edgedistill::Error("--threads " + value + ": needs a number above 0.");
        }
      } else {
        throw edgedistill::Error(word + ": no such option.");
      }
    } else {
      given.push_back(word);
    }
  }
  if (given.size() < (is_test ? 1U : 2U)) {
    throw edgedistill::Error(
        "usage: predict BUNDLE IMAGE... [--artifact NAME] [--backend NAME] [--threads N], or "
        "predict BUNDLE --selftest");
  }
  edgedistill::Predictor predictor(given[0], options);
  if (is_test) {
    const edgedistill::SelfTest test = predictor.selftest();
    std::cout << predictor.artifact() << ": " << (test.passed ? "passed" : "failed") << ": " << test.sentence << '\n';
    return test.passed ? 0 : 1;
  }
  for (std::size_t i = 1; i < given.size(); ++i) {
    const std::filesystem::path image = given[i];
    std::cout << edgedistill::to_json(predictor.predict(image), given[i]) << std::endl;
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run(count, arguments);
  } catch (const edgedistill::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
