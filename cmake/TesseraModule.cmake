# tessera_add_module(NAME [MODULES m...] [LIBRARIES l...] [PRIVATE_LIBRARIES l...])
#   The library tessera::NAME from src/NAME/*.cpp with headers include/tessera/NAME/*.hpp. MODULES are the modules it may
#   use; LIBRARIES appear in its public headers, PRIVATE_LIBRARIES only in its sources.
# tessera_add_test(NAME [MODULES m...] [LABELS l...] [TIMEOUT s])
#   The executable NAME_test from tests/NAME/*_test.cpp, linked to the modules and GoogleTest, run by CTest.

include(CMakePackageConfigHelpers)

add_library(tessera_options INTERFACE)
target_compile_features(tessera_options INTERFACE cxx_std_20)
target_compile_options(tessera_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -ffp-contract=off
  # Compiled together, files are no longer main files to GCC, and see each other's names, and a local one of the same name is no mistake.
  $<$<NOT:$<BOOL:${CMAKE_UNITY_BUILD}>>:-Wshadow> $<$<BOOL:${CMAKE_UNITY_BUILD}>:-Wno-subobject-linkage>
  $<$<BOOL:${TESSERA_WERROR}>:-Werror>
  # GCC 12 sees overlapping copies in std::string concatenation that cannot happen (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(TESSERA_SANITIZE)
  # One instruction set: a file with all of them takes minutes under the address sanitizer, and what a sanitizer finds in one
  # it finds in the others.
  target_compile_definitions(tessera_options INTERFACE HWY_COMPILE_ONLY_STATIC)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(tessera_options INTERFACE -march=haswell -maes)
  endif()
  target_compile_options(tessera_options INTERFACE -fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer
                                                   -fno-sanitize-recover=all)
  target_link_options(tessera_options INTERFACE -fsanitize=${TESSERA_SANITIZE})
endif()
# Tests mostly call the library: the time to compile them is worth more than their speed. What the sanitizer of undefined
# behaviour looks for is in the library; in tests it would triple that time.
set(tessera_test_options $<$<CONFIG:Release>:-O1>)
if(TESSERA_SANITIZE)
  set(tessera_test_options -O0 -fno-sanitize=undefined)
endif()
set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/src/core/version.cpp
  PROPERTIES COMPILE_DEFINITIONS TESSERA_VERSION="${PROJECT_VERSION}")
set_property(GLOBAL PROPERTY TESSERA_MODULES "")

function(tessera_add_module name)
  cmake_parse_arguments(ARG "" "" "MODULES;LIBRARIES;PRIVATE_LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY TESSERA_MODULES ${name})
  set(target tessera_${name})
  add_library(${target} STATIC ${sources})
  # Files that Highway compiles once per instruction set include themselves and stay out of unity builds.
  foreach(source IN LISTS sources)
    file(STRINGS ${source} simd REGEX "define HWY_TARGET_INCLUDE" LIMIT_COUNT 1)
    if(simd)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
  add_library(tessera::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
                                       PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
  foreach(module IN LISTS ARG_MODULES)
    if(TARGET tessera_${module})
      target_link_libraries(${target} PUBLIC tessera::${module})
    endif()
  endforeach()
  target_link_libraries(${target} PUBLIC ${ARG_LIBRARIES} PRIVATE $<BUILD_INTERFACE:tessera_options>)
  foreach(library IN LISTS ARG_PRIVATE_LIBRARIES)
    target_link_libraries(${target} PRIVATE ${library})
  endforeach()
  target_compile_features(${target} PUBLIC cxx_std_20)
endfunction()

# Adds the files of src/NAME/effects, each of which defines a function of its own name that returns effects, and the
# list of them: the folder is the list.
function(tessera_add_effects name)
  file(GLOB effects CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/effects/*.cpp)
  set(declarations "")
  set(calls "")
  foreach(file IN LISTS effects)
    get_filename_component(effect ${file} NAME_WE)
    string(APPEND declarations "std::vector<Effect> ${effect}();\n")
    string(APPEND calls "\n          ${effect},")
  endforeach()
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/effects/list.hpp.in
                 ${CMAKE_CURRENT_BINARY_DIR}/${name}/effects_of_folder.hpp @ONLY)
  target_sources(tessera_${name} PRIVATE ${effects})
  target_include_directories(tessera_${name} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

function(tessera_install_package)
  get_property(modules GLOBAL PROPERTY TESSERA_MODULES)
  add_library(tessera_all INTERFACE)
  add_library(tessera::tessera ALIAS tessera_all)
  set_target_properties(tessera_all PROPERTIES EXPORT_NAME tessera)
  set(targets tessera_all tessera_hdf5 tessera_highway tessera_onnx)
  foreach(module IN LISTS modules)
    if(NOT module STREQUAL "cli")
      target_link_libraries(tessera_all INTERFACE tessera_${module})
    endif()
    list(APPEND targets tessera_${module})
  endforeach()
  install(TARGETS ${targets} EXPORT tesseraTargets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT tesseraTargets NAMESPACE tessera:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
  install(CODE "set(TESSERA_ROOT \"${CMAKE_CURRENT_SOURCE_DIR}\")
                set(TESSERA_INCLUDE_DESTINATION \"${CMAKE_INSTALL_INCLUDEDIR}\")")
  install(SCRIPT ${CMAKE_CURRENT_SOURCE_DIR}/cmake/PublicHeaders.cmake)
  configure_package_config_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/tesseraConfig.cmake.in
    ${CMAKE_BINARY_DIR}/tesseraConfig.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/tesseraConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/tesseraConfig.cmake ${CMAKE_BINARY_DIR}/tesseraConfigVersion.cmake
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)
endfunction()

function(tessera_add_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "MODULES;LIBRARIES;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_test.cpp)
  if(TESSERA_TESTS_WITH)
    set(all ${sources})
    set(sources "")
    foreach(source IN LISTS all)
      file(STRINGS ${source} found REGEX "${TESSERA_TESTS_WITH}" LIMIT_COUNT 1)
      if(found)
        list(APPEND sources ${source})
      endif()
    endforeach()
  endif()
  if(NOT sources)
    return()
  endif()
  add_executable(${name}_test ${sources})
  set_target_properties(${name}_test PROPERTIES UNITY_BUILD OFF)
  foreach(module IN LISTS ARG_MODULES)
    if(TARGET tessera_${module})
      target_link_libraries(${name}_test PRIVATE tessera::${module})
    endif()
  endforeach()
  target_link_libraries(${name}_test PRIVATE tessera_options tessera_test_main ${ARG_LIBRARIES} GTest::gmock)
  target_include_directories(${name}_test PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
  target_compile_options(${name}_test PRIVATE ${tessera_test_options})
  if(CMAKE_DISABLE_PRECOMPILE_HEADERS)
    target_compile_options(${name}_test PRIVATE "SHELL:-include ${CMAKE_SOURCE_DIR}/tests/support/source_dir.hpp")
  else()
    target_precompile_headers(${name}_test REUSE_FROM tessera_test_headers)
  endif()
  add_test(NAME ${name} COMMAND ${name}_test)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
