#include "support/headers.hpp"
