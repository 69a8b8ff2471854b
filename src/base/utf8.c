#include "base/utf8.h"

#include <string.h>

/* Bytes that the first one announces; 0 if no character starts with it. */
static size_t announced(unsigned char first)
{
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
}

size_t utf8_read(unsigned *code, const char *text, size_t length)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = length > 0 ? announced(bytes[0]) : 0;
    *code = UTF8_NONE;
    if (size == 0 || size > length) return 0;
    unsigned value = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (bytes[i] & 0x3f);
    }
    bool surrogate = value >= 0xd800 && value < 0xe000;
    if (value < least[size] || surrogate || value > 0x10ffff) return 0;
    *code = value;
    return size;
}

bool utf8_is_control(unsigned code)
{
    bool ascii = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool line = code == 0x2028 || code == 0x2029; /* ends of lines and of paragraphs */
    bool direction =
        code == 0x61c || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    bool unseen = code == 0x200b || code == 0x200e || code == 0x200f ||
                  (code >= 0x2060 && code <= 0x2065) || code == 0xfeff ||
                  (code >= 0xfff9 && code <= 0xfffb) || (code >= 0xe0000 && code <= 0xe007f);
    return ascii || line || direction || unseen;
}

void utf8_make_plain(char *text)
{
    size_t left = strlen(text);
    char *to = text;
    while (left > 0) {
        unsigned code;
        size_t size = utf8_read(&code, text, left);
        size_t taken = size > 0 ? size : 1;
        if (code == UTF8_NONE || utf8_is_control(code))
            *to++ = '?';
        else
            to = (char *)memmove(to, text, size) + size;
        text += taken, left -= taken;
    }
    *to = '\0';
}
