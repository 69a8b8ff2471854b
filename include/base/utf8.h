/*
 * Text of UTF-8 (RFC 3629), and what of it may be shown. Names in files come from strangers, and a
 * terminal obeys control characters: those below U+0020, U+007F, and those from U+0080 to U+009F,
 * where U+009B stands for ESC [. Marks that turn the direction of writing, and those that nobody
 * sees, show a name as another; but those that join letters, which some languages need.
 */
#ifndef DDPM_BASE_UTF8_H
#define DDPM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

enum { UTF8_NONE = 0x110000 };

/* How many bytes the character at `text` has, of which `length` are there, and which it is; 0 and
 * UTF8_NONE if there is none (an overlong form, a surrogate and what lies above U+10FFFF are none).
 */
size_t utf8_read(unsigned *code, const char *text, size_t length);

/* Whether the character does something to what stands around it instead of being seen. */
bool utf8_is_control(unsigned code);

/* One line that may be shown: a ? for each control character and each byte that is not UTF-8. The
 * text becomes no longer. */
void utf8_make_plain(char *text);

#endif
