/*
 * lexer.h - splits a template into tokens: text, delimiters, and words between delimiters. Private
 * to template/.
 */
#ifndef TEMPLATE_LEXER_H
#define TEMPLATE_LEXER_H

#include "template/unicode.h"

enum tmpl_token_type {
    TMPL_END_OF_TEXT,
    TMPL_ERROR, /* `text` is the sentence */
    TMPL_TEXT,
    TMPL_LEFT_DELIM,
    TMPL_RIGHT_DELIM,
    TMPL_ASSIGN,  /* "=" */
    TMPL_DECLARE, /* ":=" */
    TMPL_PIPE,
    TMPL_LEFT_PAREN,
    TMPL_RIGHT_PAREN,
    TMPL_CHAR, /* any other character that can be printed */
    TMPL_BOOL,
    TMPL_CHAR_CONSTANT,
    TMPL_NUMBER,
    TMPL_STRING,
    TMPL_RAW_STRING,
    TMPL_VARIABLE, /* with its $ */
    TMPL_FIELD,    /* with its dot */
    TMPL_IDENTIFIER,
    TMPL_DOT, /* sentences name this and all after it as <dot> */
    TMPL_BLOCK,
    TMPL_BREAK,
    TMPL_CONTINUE,
    TMPL_DEFINE,
    TMPL_ELSE,
    TMPL_END,
    TMPL_IF,
    TMPL_NIL,
    TMPL_RANGE,
    TMPL_TEMPLATE,
    TMPL_WITH,
};

struct tmpl_token {
    enum tmpl_token_type type;
    uint32_t at;
    bool spaced; /* there are spaces before it, inside of delimiters */
    struct bytes text;
};

struct tmpl_lexer {
    struct bytes text;
    struct tmpl_unicode *unicode;
    struct buf *sentence; /* sentence of an error */
    uint32_t at;          /* start of the next token */
    uint32_t start;       /* start of the current token */
    uint32_t parens;
    bool spaced;
    bool inside; /* inside of delimiters */
    bool over;   /* set after an error */
};

/* `text` and the others are borrowed as long as the tokens. `sentence` holds the text of a token
 * of an error until the next token. A copy of a lexer continues where the original was. */
void tmpl_lexer_init(struct tmpl_lexer *l, struct bytes text, struct tmpl_unicode *unicode,
                     struct buf *sentence);
/* After an error each token is the end of the text. */
struct tmpl_token tmpl_lexer_next(struct tmpl_lexer *l);

#endif
