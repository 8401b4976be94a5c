#include "bindings.hpp"
#include "tessera/core/error.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace tessera::python {

namespace {

/// The exception classes live in Python (tessera/errors.py), where they also are ValueError, OSError, ...
void raise(const char* name, const std::string& text, nb::object problems = nb::none()) {
  const nb::object type = nb::module_::import_("tessera.errors").attr(name);
  const nb::object error = problems.is_none() ? type(text) : type(text, problems);
  PyErr_SetObject(type.ptr(), error.ptr());
}

nb::list to_list(const std::vector<Problem>& problems) {
  nb::list list;
  for (const Problem& problem : problems)
    list.append(nb::make_tuple(problem.file, problem.line, problem.column, problem.key, problem.message));
  return list;
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const ConfigError& error) {
    raise("ConfigError", error.what(), to_list(error.problems()));
  } catch (const UsageError& error) {
    raise("UsageError", error.what());
  } catch (const InputError& error) {
    raise("InputError", error.what());
  } catch (const RunError& error) {
    raise("RunError", error.what());
  } catch (const quant::QuantizerNotInitializedError& error) {
    raise("QuantizerNotInitializedError", error.what());
  } catch (const Error& error) {
    raise("TesseraError", error.what());
  }
}

}  // namespace

void bind_errors(nb::module_&) {
  nb::register_exception_translator(translate);
}

}  // namespace tessera::python
