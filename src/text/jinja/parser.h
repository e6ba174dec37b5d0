// Tokens of a template to what computes it.
#pragma once

#include <string_view>

#include "text/jinja/syntax.h"

namespace rocket::jinja {

/// Throws a Problem with its place: what is no Jinja, or a statement that is not known here.
Body parse(std::string_view source);

}  // namespace rocket::jinja
