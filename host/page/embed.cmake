# cmake -DOUT=page_data.c -P embed.cmake: the files beside this one as arrays of bytes, and page_find.
set(files index.html page.css page.js)
set(paths / /page.css /page.js)
set(types text/html text/css text/javascript)
set(arrays "")
set(table "")
foreach(number RANGE 2)
  list(GET files ${number} file)
  list(GET paths ${number} path)
  list(GET types ${number} type)
  file(READ "${CMAKE_CURRENT_LIST_DIR}/${file}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "static const unsigned char file_${number}[] = {${bytes}};\n")
  string(APPEND table "    {\"${path}\", \"${type}; charset=utf-8\", file_${number}, sizeof file_${number}},\n")
endforeach()
file(WRITE "${OUT}" "/* Made by embed.cmake. */
#include <string.h>

#include \"page.h\"

${arrays}
static const page_file files[] = {
${table}};

const page_file *page_find(const char *path) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(path, files[i].path) == 0) {
            return &files[i];
        }
    }
    return NULL;
}
")
