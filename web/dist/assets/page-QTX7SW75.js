import"./chunk-NNCNSF36.js";
