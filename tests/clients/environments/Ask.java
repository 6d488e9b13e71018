import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Asks serving with Java's own client, which offers HTTP/2 with its first request. */
public class Ask {
    private static final String LENGTH = "Inference-Header-Content-Length";

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0], model = arguments[1];
        String rows = new String(System.in.readAllBytes()).strip();
        HttpClient client = HttpClient.newHttpClient();
        URI predict = URI.create(url + "/v1/models/" + model + ":predict");

        HttpResponse<String> first = client.send(
            HttpRequest.newBuilder(predict).POST(BodyPublishers.ofString("{\"instances\":" + rows + "}")).build(),
            BodyHandlers.ofString());
        HttpResponse<String> health = client.send(
            HttpRequest.newBuilder(URI.create(url + "/v2/health/ready")).build(), BodyHandlers.ofString());
        HttpResponse<String> refusal = client.send(
            HttpRequest.newBuilder(predict).POST(BodyPublishers.noBody()).build(), BodyHandlers.ofString());
        System.out.println("{\"status\":" + first.statusCode() + ",\"v1\":" + first.body()
            + ",\"health\":" + health.body() + ",\"refused\":" + refusal.statusCode()
            + ",\"raw\":" + raw(client, URI.create(url + "/v2/models/" + model + "/infer")) + "}");
    }

    private static List<Float> raw(HttpClient client, URI infer) throws Exception {
        HttpResponse<byte[]> answer = client.send(
            HttpRequest.newBuilder(infer).header(LENGTH, "0")
                .POST(BodyPublishers.ofByteArray(new byte[784])).build(),
            BodyHandlers.ofByteArray());
        int end = Integer.parseInt(answer.headers().firstValue(LENGTH).orElseThrow());
        ByteBuffer values = ByteBuffer.wrap(answer.body(), end, 40).order(ByteOrder.LITTLE_ENDIAN);
        List<Float> found = new ArrayList<>();
        while (values.hasRemaining()) {
            found.add(values.getFloat());
        }
        return found;
    }
}
