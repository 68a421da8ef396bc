import"./chunk-QNPBRIIO.js";
