/*
 * fuzz_reference.h - the two folders of fuzz_reference, in memory where the system has /dev/shm.
 */
#ifndef ADDER_FUZZ_REFERENCE_H
#define ADDER_FUZZ_REFERENCE_H

enum { FUZZ_PATH_BYTES = 256 };
/* What is loaded, and what is saved again. */
enum { FUZZ_FOLDER_LOADED, FUZZ_FOLDER_SAVED, FUZZ_FOLDERS };

/* Made when first asked for, and removed when the program ends. */
const char *fuzz_reference_folder(unsigned which);

#endif
