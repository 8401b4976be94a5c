#pragma once
/// What most tests include, compiled once for all of them (a preset that compiles file by file does without).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include "support/source_dir.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/tile/effects.hpp"
