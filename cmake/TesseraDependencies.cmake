# Third-party libraries, all from the distribution, each behind one target name.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(yaml-cpp REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CLI11 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C HL)
find_package(hwy REQUIRED)
find_package(Protobuf REQUIRED)

find_package(Threads REQUIRED)

# The high-level library holds the dimension scales.
add_library(tessera_hdf5 INTERFACE)
target_include_directories(tessera_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(tessera_hdf5 INTERFACE ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES})

# Highway: AVX-512, AVX2 with FMA, and a scalar fallback with the same bits; other targets only cost compile time.
add_library(tessera_highway INTERFACE)
target_link_libraries(tessera_highway INTERFACE hwy::hwy)
target_compile_definitions(tessera_highway INTERFACE
  "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL)")

# onnx_pb.h needs these two definitions to match Debian's libonnx_proto.
find_path(TESSERA_ONNX_INCLUDE onnx/onnx_pb.h REQUIRED)
find_library(TESSERA_ONNX_PROTO onnx_proto REQUIRED)
add_library(tessera_onnx INTERFACE)
target_include_directories(tessera_onnx SYSTEM INTERFACE ${TESSERA_ONNX_INCLUDE})
target_compile_definitions(tessera_onnx INTERFACE ONNX_ML=1 ONNX_NAMESPACE=onnx)
target_link_libraries(tessera_onnx INTERFACE ${TESSERA_ONNX_PROTO} protobuf::libprotobuf)

# MPI is used by one file of cli, which alone sees it. The deprecated C++ bindings of Open MPI are left out.
add_library(tessera_mpi INTERFACE)
if(TESSERA_USE_MPI STREQUAL "AUTO")
  find_package(MPI COMPONENTS CXX QUIET)
elseif(TESSERA_USE_MPI)
  find_package(MPI REQUIRED COMPONENTS CXX)
endif()
if(TESSERA_USE_MPI AND MPI_CXX_FOUND)
  target_link_libraries(tessera_mpi INTERFACE ${MPI_CXX_LIBRARIES} Threads::Threads)
  set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/src/cli/mpi_team.cpp PROPERTIES
    INCLUDE_DIRECTORIES "${MPI_CXX_INCLUDE_DIRS}"
    COMPILE_DEFINITIONS "TESSERA_HAVE_MPI=1;OMPI_SKIP_MPICXX=1;MPICH_SKIP_MPICXX=1")
endif()
