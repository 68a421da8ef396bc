import"./chunk-N37SM4JU.js";
