# The house in CMake: one object library per room, one library from all rooms and built-in plugins.
# Sources are globbed per folder: to add a file, a room's test or a plugin, put it in its folder.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(warpgate_warnings INTERFACE)
target_compile_options(warpgate_warnings INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
  $<$<BOOL:${WARPGATE_WERROR}>:-Werror>)
target_compile_definitions(warpgate_warnings INTERFACE _GNU_SOURCE WARPGATE_VERSION="${PROJECT_VERSION}")
target_include_directories(warpgate_warnings INTERFACE
  ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/src/include)

macro(warpgate_find_dependencies)
  find_package(PkgConfig REQUIRED)
  find_package(OpenSSL 3.0 REQUIRED)
  find_package(Threads REQUIRED)
  pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
  pkg_check_modules(MOSQUITTO REQUIRED IMPORTED_TARGET libmosquitto)
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
  pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
  if(WARPGATE_BUILD_LAB)
    pkg_check_modules(NFTABLES REQUIRED IMPORTED_TARGET libnftables)
  endif()
endmacro()

# A room of the house: src/<name>/*.c as an object library wg_<name>.
function(warpgate_room name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  if(name STREQUAL wire)
    # Digests come from the platform: OpenSSL everywhere but Windows, where CNG has them.
    if(WIN32)
      list(FILTER sources EXCLUDE REGEX digest_openssl)
    else()
      list(FILTER sources EXCLUDE REGEX digest_cng)
    endif()
  endif()
  if(NOT sources)
    return()
  endif()
  add_library(wg_${name} OBJECT ${sources})
  target_link_libraries(wg_${name} PRIVATE warpgate_warnings)
  set_property(GLOBAL APPEND PROPERTY WARPGATE_OBJECTS $<TARGET_OBJECTS:wg_${name}>)
  if(name STREQUAL wire AND NOT WIN32 AND NOT WARPGATE_PORTABLE_ONLY)
    target_link_libraries(wg_${name} PRIVATE OpenSSL::Crypto)
  elseif(name MATCHES "^(identity|pipe)$")
    target_link_libraries(wg_${name} PRIVATE OpenSSL::SSL OpenSSL::Crypto)
  elseif(name STREQUAL driver_uv)
    target_link_libraries(wg_${name} PRIVATE PkgConfig::UV PkgConfig::MOSQUITTO OpenSSL::Crypto)
  endif()
endfunction()

# Built-in plugins: each folder of plugins/ with a C file of its own name defines `warp_plugin_<name>`.
# A constructor that registers itself would vanish from a static library, so the table is generated.
function(warpgate_plugins)
  file(GLOB folders CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/plugins/*/*.c)
  set(names)
  set(declarations "")
  set(entries "")
  foreach(file IN LISTS folders)
    get_filename_component(name ${file} NAME_WE)
    get_filename_component(folder ${file} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    if(name STREQUAL folder)
      list(APPEND names ${name})
      string(APPEND declarations "extern const warp_plugin warp_plugin_${name};\n")
      string(APPEND entries "    &warp_plugin_${name},\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/plugin_table.c CONTENT
"/* Generated from the folders of plugins/. */
#include \"connect/plugin_table.h\"

${declarations}
const warp_plugin *const wg_plugin_table[] = {
${entries}    NULL,
};
")
  add_library(wg_plugins OBJECT ${folders} ${CMAKE_BINARY_DIR}/generated/plugin_table.c)
  target_link_libraries(wg_plugins PRIVATE warpgate_warnings)
  set_property(GLOBAL APPEND PROPERTY WARPGATE_OBJECTS $<TARGET_OBJECTS:wg_plugins>)
endfunction()

# libwarpgate: shared with the public symbols only; static with all of them, which the tests link.
function(warpgate_library)
  get_property(objects GLOBAL PROPERTY WARPGATE_OBJECTS)
  add_library(warpgate_static STATIC ${objects})
  add_library(warpgate SHARED ${objects})
  foreach(target warpgate_static warpgate)
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src/include)
    target_link_libraries(${target} PRIVATE
      OpenSSL::SSL OpenSSL::Crypto PkgConfig::UV PkgConfig::MOSQUITTO)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME warpgate)
  endforeach()
  set_target_properties(warpgate PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
endfunction()

# A program that stands on top of the library.
function(warpgate_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE warpgate_warnings ${arg_LIBS})
endfunction()
