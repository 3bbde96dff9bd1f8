// The smallest correct receiver of profile alipay in Java (17 or newer), with the JDK alone.
//
//   PUBLIC_KEY=paynotify.pem APP_ID=2021000000000001 ORDERS=orders PORT=9000 java Merchant.java
//
// PUBLIC_KEY  the file with public_key of GET /v1/merchants/{mch_id}/public-key
// APP_ID      the merchant's app_id
// ORDERS      the books: a folder with a file for each order, named by its out_trade_no, holding its amount (88.88)
//
// In a servlet or Spring read the body as bytes: getParameterMap() mixes the query in and may decode otherwise.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;

public class Merchant {
    static final int BODY_BYTES_MAX = 64 << 10;

    final PublicKey key;
    final String appId = System.getenv("APP_ID");
    final Path orders = Path.of(System.getenv("ORDERS"));

    Merchant(String pem) throws Exception {
        byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]+-----", ""));
        key = KeyFactory.getInstance("RSA").generatePublic(new X509EncodedKeySpec(der));
    }

    public static void main(String[] args) throws Exception {
        Merchant merchant = new Merchant(Files.readString(Path.of(System.getenv("PUBLIC_KEY"))));
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "9000"));
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", merchant::answer);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.err.println("listening on http://127.0.0.1:" + server.getAddress().getPort());
    }

    // answer writes one word, and nothing else.
    void answer(HttpExchange exchange) throws IOException {
        String word = "success";
        try {
            byte[] raw = exchange.getRequestBody().readNBytes(BODY_BYTES_MAX);
            handle(new String(raw, UTF_8));
        } catch (Exception why) {
            System.err.println("refused: " + why);
            word = "fail";
        }
        exchange.getResponseHeaders().set("Content-Type", "text/plain");
        exchange.sendResponseHeaders(200, word.length());
        exchange.getResponseBody().write(word.getBytes(UTF_8));
        exchange.close();
    }

    void handle(String raw) throws Exception {
        // 1. Is it from the platform? Nothing of it is looked at before.
        TreeMap<String, String> p = verified(raw);

        // 2. Is it ours, and what we sold? The signature says who wrote it, not that it is true for us.
        if (!p.getOrDefault("app_id", "").equals(appId)) {
            throw new Exception("it is for another app_id");
        }
        String order = p.getOrDefault("out_trade_no", "");
        if (!order.matches("[A-Za-z0-9_-]{1,64}")) {
            throw new Exception("out_trade_no is none of ours");
        }
        String amount = Files.readString(orders.resolve(order)).strip(); // throws when there is no such order
        if (!amount.equals(p.get("total_amount"))) { // as text, never as double
            throw new Exception("order " + order + " has another amount");
        }
        String status = p.getOrDefault("trade_status", "");
        if (!status.equals("TRADE_SUCCESS") && !status.equals("TRADE_FINISHED")) {
            return; // heard, and nothing to book: it may come late, and never undoes a payment
        }

        // 3. Book it once, durably, before the answer.
        book(order, p.getOrDefault("trade_no", ""));
    }

    // verified reads the fields of a form and checks their signature: sign and sign_type taken out, sorted by
    // name, joined as name=value with &, RSA over SHA-256.
    TreeMap<String, String> verified(String raw) throws Exception {
        TreeMap<String, String> p = new TreeMap<>();
        for (String pair : raw.split("&")) {
            String[] half = pair.split("=", 2);
            String value = half.length == 2 ? URLDecoder.decode(half[1], UTF_8) : "";
            if (p.put(URLDecoder.decode(half[0], UTF_8), value) != null) {
                throw new Exception("a parameter stands twice"); // one would be verified and the other used
            }
        }
        String text = p.entrySet().stream()
            .filter(e -> !e.getKey().equals("sign") && !e.getKey().equals("sign_type"))
            .map(e -> e.getKey() + "=" + e.getValue())
            .collect(Collectors.joining("&"));
        Signature rsa = Signature.getInstance("SHA256withRSA");
        rsa.initVerify(key);
        rsa.update(text.getBytes(UTF_8));
        if (!rsa.verify(Base64.getDecoder().decode(p.getOrDefault("sign", "")))) {
            throw new Exception("the signature does not verify");
        }
        return p;
    }

    // book creates the file that says an order is paid; that can be done once only, however many notifications
    // arrive at a time. In your database it is a unique key on out_trade_no, in one transaction with the rest.
    void book(String order, String tradeNo) throws IOException {
        Path paid = orders.resolve(order + ".paid");
        try {
            Files.writeString(paid, tradeNo,
                StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.SYNC);
        } catch (FileAlreadyExistsException duplicate) {
            return; // a duplicate is a success
        }
        System.err.println("booked " + order);
    }
}
