// Fuzz target of src/answers: any text is read, and what is found has the form of its kind.
#pragma once

#include <string>
#include <string_view>

#include "answers/reading.h"
#include "fuzz/reader_target.h"
#include "text/unicode.h"

namespace rocket::fuzz {

inline void answers(std::string_view bytes) {
  const std::string text = to_utf8_lossy(bytes);
  static const BooleanReader boolean;
  const Reading number = read_number(text), choice = read_choice(text), word = boolean.read(text),
                program = read_program(text);
  require(!number.found || number.found->find_first_not_of("-0123456789./") == std::string::npos);
  require(!number.found || (!number.found->empty() && read_number(*number.found).found == number.found));
  require(!choice.found ||
          (choice.found->size() == 1 && (*choice.found)[0] >= 'A' && (*choice.found)[0] <= 'J'));
  require(!word.found || *word.found == "yes" || *word.found == "no");
  require(program.found && is_utf8(*program.found));
  for (const Reading* reading : {&number, &choice, &word, &program}) require(!reading->rule.empty());
}

}  // namespace rocket::fuzz
