// What methods and filters do with texts, as Python's str does. All texts are valid UTF-8.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace rocket::jinja {

/// Where `part` begins in `text`, at or behind the byte `from`, else npos. In time that is linear:
/// std::string's find takes the product of both lengths where a text is made for it.
std::size_t found_in(std::string_view text, std::string_view part, std::size_t from = 0);

enum class Side { left, right, both };

/// str.strip(characters); nullptr: white space.
std::string_view stripped(std::string_view text, Side side, const std::string* characters);
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalized(std::string_view text);
/// str.title(): a word begins behind whatever is no letter.
std::string titled(std::string_view text);
/// Jinja's filter `title`: a word begins behind white space, - ( { [ and <.
std::string titled_words(std::string_view text);

/// str.replace(old, by, at_most); below 0: all.
std::string replaced(std::string_view text, std::string_view old, std::string_view by, std::int64_t at_most,
                     Budget& budget);
/// str.split(separator, at_most); nullptr: at runs of white space. `from_right`: as rsplit.
std::vector<Value> split(std::string_view text, const std::string* separator, std::int64_t at_most,
                         bool from_right, Budget& budget);
std::vector<Value> split_lines(std::string_view text, bool keep_ends, Budget& budget);

/// text % values: %s, %d, %i, %r and %% with widths. Throws a Problem for other forms.
std::string percent_formatted(std::string_view text, const std::vector<Value>& values, Budget& budget);
/// text.format(...): {}, {0} and {name}. Throws a Problem for other forms.
std::string brace_formatted(std::string_view text, const Arguments& arguments, Budget& budget);

}  // namespace rocket::jinja
