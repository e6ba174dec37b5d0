// Why a text is no JSON, in words that say what to do.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rocket {

/// Why NaN and its like are no values.
std::string non_finite_problem(std::string_view word);

/// The reason that stands behind "no valid JSON at byte N: ": NaN, a lone surrogate, a byte order mark,
/// single quotes, a bracket that is not closed, CSV, ... `byte`: where a parser stopped, from 1;
/// `said`: its words. Empty: none that is known.
std::string json_problem(std::string_view text, std::size_t byte, std::string_view said);

/// "no valid JSON at byte 7: <reason>"; of a text of several lines with the line, too.
std::string no_valid_json(std::string_view text, std::size_t byte, std::string_view said);

/// Of a text that is a whole file: throws data (65) "<place>: expected JSON, found <kind>" or, where it is of
/// no known kind, "<place>: no valid JSON at byte ...".
[[noreturn]] void fail_json_file(const std::string& place, std::string_view text, std::size_t byte,
                                 std::string_view said);

}  // namespace rocket
