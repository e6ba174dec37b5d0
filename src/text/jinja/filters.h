// Jinja's filters, and tojson as transformers has it.
#pragma once

#include <string_view>

#include "text/jinja/machine.h"

namespace rocket::jinja {

/// input | name(arguments). Throws a Problem: a filter that is not known, a value that it does not take.
Value filtered(Machine& machine, std::string_view name, Value input, Arguments arguments);

bool is_filter(std::string_view name);

}  // namespace rocket::jinja
