import"./chunk-GBBHQWQ6.js";
