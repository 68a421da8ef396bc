import"./chunk-NYZD6OX5.js";
