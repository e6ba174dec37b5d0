// "Did you mean": the known word that a mistyped one is nearest to.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Edit distance with transpositions of neighbours, by bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The first of the nearest `known` words. `known` must not be empty.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

/// The known key path that `path` is nearest to. A wrong section costs less than a wrong last name, so that a
/// key put into another section finds its own.
std::string nearest_key(std::string_view path, const std::vector<std::string>& known);

}  // namespace rocket
